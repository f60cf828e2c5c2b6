// Saves what is written as it is written, and keeps it in this browser for as long as the server has
// not taken it: a connection that breaks, a session that ends or somebody else's change loses nothing.

const form = document.querySelector("form[data-writing]");
if (form && !form.inert) keepSaved(form);

function keepSaved(form) {
  const SAVE_AFTER_MS = 1500;
  const AGAIN_AFTER_MS = 5000;
  const key = `tidings:writing:${form.dataset.writing}`;
  const saved = form.querySelector("[data-saved]");
  const notice = form.querySelector("[data-notice]");
  let dirty = false;
  let held = false; // somebody else has changed it, or it is no draft any more: its author decides
  let flight = null;
  let timer = 0;

  const words = () => {
    const found = {};
    for (const [name, value] of new FormData(form)) {
      if (name !== "seal" && name !== "version" && name !== "then") found[name] = value;
    }
    return found;
  };
  const version = () => form.elements.version.value;
  const say = (text, wrong = false) => {
    if (saved.textContent !== text) saved.textContent = text;
    saved.classList.toggle("wrong", wrong);
  };
  const clock = () => new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

  const keep = () => {
    try {
      localStorage.setItem(key, JSON.stringify({ version: version(), words: words(), at: Date.now() }));
      return true;
    } catch {
      return false;
    }
  };
  const forget = () => {
    try {
      localStorage.removeItem(key);
    } catch {
      // A browser that keeps nothing has nothing to forget.
    }
  };
  const kept = () => {
    try {
      return JSON.parse(localStorage.getItem(key));
    } catch {
      return null;
    }
  };
  const fill = (found) => {
    for (const [name, value] of Object.entries(found)) {
      const field = form.elements[name];
      if (field && name !== "source_kind") field.value = value;
    }
  };

  // What an earlier visit could not save. The editor, which starts after this, takes it from the field.
  const before = kept();
  if (form.hasAttribute("data-kept")) {
    held = true;
    say("Nothing is saved until you choose.");
  } else if (before && before.words?.source_kind === form.elements.source_kind.value) {
    const differs = JSON.stringify(before.words) !== JSON.stringify(words());
    if (!differs) {
      forget();
    } else if (before.version === version()) {
      fill(before.words);
      dirty = true;
      tell("Your last words had not reached the server. They were kept in this browser and are back.");
      window.setTimeout(save, 300);
    } else {
      fill(before.words);
      conflict(version(), "Words that had not reached the server were kept in this browser, and the broadcast was changed since.");
    }
  }
  if (!held) say(dirty ? "Not saved yet." : "Saves by itself.");

  form.addEventListener("input", (event) => {
    if (event.target.matches("[data-insert]")) return;
    dirty = true;
    const safe = keep();
    if (held) return;
    say(safe ? "Writing …" : "Writing … (this browser keeps nothing: wait for “Saved”)");
    window.clearTimeout(timer);
    timer = window.setTimeout(save, SAVE_AFTER_MS);
  });
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState === "hidden" && dirty && !held) save();
  });
  window.addEventListener("online", () => dirty && !held && save());

  // A button that leaves the page waits until what was written is saved, and stays where it cannot be.
  form.addEventListener("submit", async (event) => {
    const button = event.submitter;
    if (button?.hasAttribute("formaction")) {
      forget();
      return;
    }
    if (form.dataset.ready || held) {
      forget();
      return;
    }
    event.preventDefault();
    delete form.dataset.sent;
    window.clearTimeout(timer);
    // Within the event a form cannot be submitted anew.
    await new Promise((resume) => window.setTimeout(resume));
    if (flight) await flight;
    if (dirty && !(await save())) return;
    if (button?.hasAttribute("data-save")) return;
    form.dataset.ready = "1";
    form.requestSubmit(button);
    window.setTimeout(() => delete form.dataset.ready, 1000);
  });

  function save() {
    if (flight) return flight.then((done) => (dirty && !held ? save() : done));
    flight = send().finally(() => (flight = null));
    return flight;
  }

  async function send() {
    window.clearTimeout(timer);
    const sent = JSON.stringify(words());
    const body = new URLSearchParams(new FormData(form));
    say("Saving …");
    let answer;
    let said = {};
    try {
      answer = await fetch(form.dataset.draft, {
        method: "POST",
        body,
        headers: { "HX-Request": "true" },
        redirect: "error",
        signal: AbortSignal.timeout?.(20000),
      });
      said = await answer.json().catch(() => ({}));
    } catch {
      return later(keep() ? "No connection. Your text is kept in this browser." : "No connection. Do not close this page.");
    }
    if (answer.ok) {
      form.elements.version.value = said.version;
      dirty = JSON.stringify(words()) !== sent;
      if (dirty) {
        keep();
        timer = window.setTimeout(save, SAVE_AFTER_MS);
      } else {
        forget();
        say(`Saved ${clock()}`);
      }
      return true;
    }
    keep();
    if (answer.status === 409 && said.changed) {
      conflict(said.version, said.said);
    } else if (answer.status === 409) {
      held = true;
      tell(`${said.said} What you wrote is kept in this browser.`, [
        ["Keep mine as its own draft", apart],
        ["Look at it", () => window.location.assign(form.action.replace(/\/write$/, ""))],
      ]);
      say("Not saved.", true);
    } else if (answer.status === 422) {
      const [name, wrong] = Object.entries(said.errors ?? {})[0] ?? ["", "Something cannot be saved."];
      mark(name, wrong);
      say(`Not saved: ${wrong}`, true);
    } else if (answer.status === 401 || answer.status === 403) {
      later("You are signed out. Sign in in another tab; your text is kept in this browser.");
    } else {
      later("The server could not take it yet. Your text is kept in this browser.");
    }
    return false;
  }

  function later(text) {
    say(text, true);
    window.clearTimeout(timer);
    timer = window.setTimeout(() => !held && save(), AGAIN_AFTER_MS);
    return false;
  }

  function conflict(current, text) {
    held = true;
    dirty = true;
    say("Not saved: choose what stands.", true);
    const theirs = document.createElement("a");
    theirs.href = form.action;
    theirs.target = "_blank";
    theirs.textContent = "See theirs";
    tell(`${text} Nothing is lost: yours stands here.`, [
      theirs,
      [
        "Save mine over theirs",
        () => {
          form.elements.version.value = current;
          held = false;
          tell("");
          save();
        },
      ],
      ["Keep mine as its own draft", apart],
      [
        "Go on with theirs",
        () => {
          forget();
          window.location.reload();
        },
      ],
    ]);
  }

  function apart() {
    forget();
    form.action = form.dataset.apart;
    form.dataset.ready = "1";
    form.requestSubmit();
  }

  function tell(text, choices = []) {
    notice.replaceChildren();
    notice.hidden = !text;
    notice.className = "writing-notice notice warn";
    notice.setAttribute("role", choices.length ? "alert" : "status");
    if (!text) return;
    const line = document.createElement("p");
    line.textContent = text;
    notice.append(line);
    const row = document.createElement("p");
    row.className = "buttons";
    for (const one of choices) {
      if (!Array.isArray(one)) {
        one.className = "button quiet small";
        row.append(one);
        continue;
      }
      const button = document.createElement("button");
      button.type = "button";
      button.className = "button quiet small";
      button.textContent = one[0];
      button.addEventListener("click", one[1]);
      row.append(button);
    }
    if (choices.length) notice.append(row);
  }

  function mark(name, text) {
    const field = form.elements[name];
    if (!field?.id) return;
    field.setAttribute("aria-invalid", "true");
    field.title = text;
    field.addEventListener("input", () => {
      field.removeAttribute("aria-invalid");
      field.removeAttribute("title");
    }, { once: true });
  }
}
