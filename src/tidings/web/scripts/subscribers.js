// The list of people: one box for all on the page. Choosing what to do: only what belongs to it is shown.
// All of it is comfort: each page works without it.

function boxes() {
  return [...document.querySelectorAll('#people input[name="id[]"]')];
}

function show() {
  const every = document.querySelector("[data-every]");
  if (!every) return;
  const all = boxes();
  const n = all.filter((one) => one.checked).length;
  for (const one of document.querySelectorAll("[data-every], [data-every-label]")) one.hidden = false;
  every.checked = n > 0 && n === all.length;
  every.indeterminate = n > 0 && n < all.length;
  const button = document.querySelector("[data-ticked]");
  if (button) {
    button.disabled = n === 0;
    button.textContent = n ? `Change the ${n} ticked` : "Change the ticked";
  }
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-every]")) {
    for (const one of boxes()) one.checked = event.target.checked;
  }
  show();
  choose();
});

// A search has put other people there.
document.addEventListener("htmx:afterSwap", show);

function choose() {
  const act = document.querySelector('input[name="act"]:checked')?.value;
  if (!act) return;
  for (const one of document.querySelectorAll("[data-for]")) {
    one.hidden = !one.dataset.for.split(" ").includes(act);
  }
}

show();
choose();
