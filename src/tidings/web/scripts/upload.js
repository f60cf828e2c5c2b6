// A form with a file: it may be dropped, and one sees how much of it is sent. Without this it is a plain form.

const form = document.querySelector("form[data-upload]");
const drop = form?.querySelector("[data-drop]");
const input = form?.querySelector('input[type="file"]');
const sending = form?.querySelector("[data-sending]");

function say(sentence) {
  input.setAttribute("aria-invalid", "true");
  let place = document.getElementById("file-wrong");
  if (!place) {
    place = document.createElement("p");
    place.className = "wrong";
    place.id = "file-wrong";
    place.setAttribute("role", "alert");
    input.after(place);
  }
  place.textContent = sentence;
}

function fits(file) {
  const most = Number(form.dataset.upload);
  if (file.size <= most) return true;
  say(`The file is larger than ${Math.floor(most / 1e6)} MB. Pack it with gzip, or import it on the command line.`);
  return false;
}

function send() {
  const request = new XMLHttpRequest();
  const bar = sending.querySelector("progress");
  const said = sending.querySelector("[data-said]");
  const buttons = form.querySelector(".buttons");
  sending.hidden = false;
  buttons.hidden = true;
  request.upload.addEventListener("progress", (event) => {
    if (event.lengthComputable) bar.value = (100 * event.loaded) / event.total;
  });
  request.upload.addEventListener("load", () => (said.textContent = "Sent. A moment …"));
  request.addEventListener("load", () => {
    if (request.status < 300) {
      window.location.assign(request.responseURL);
      return;
    }
    sending.hidden = true;
    buttons.hidden = false;
    const page = new DOMParser().parseFromString(request.responseText, "text/html");
    say(page.querySelector("#file-wrong, main p")?.textContent || "The file could not be sent. Try again.");
  });
  request.addEventListener("error", () => {
    sending.hidden = true;
    buttons.hidden = false;
    say("The connection broke off before the file was there. Try again.");
  });
  request.open("POST", form.action);
  request.send(new FormData(form));
}

if (form) {
  for (const name of ["dragover", "dragenter"]) {
    drop.addEventListener(name, (event) => {
      event.preventDefault();
      drop.classList.add("over");
    });
  }
  for (const name of ["dragleave", "drop"]) drop.addEventListener(name, () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files.length) input.files = event.dataTransfer.files;
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.files[0] && fits(input.files[0])) send();
  });
}
