(function () {
  "use strict";

  var form = "__FORM__";

  var look =
    ".tidings-form{max-width:28rem;margin:1.5rem 0;font:inherit;line-height:1.5;text-align:left}" +
    ".tidings-form *{box-sizing:border-box}" +
    ".tidings-form-title{margin:0 0 .25rem;font-size:1.25em;font-weight:600;line-height:1.3}" +
    ".tidings-form-text{margin:0 0 1rem;white-space:pre-line}" +
    ".tidings-form label{display:block;margin:0 0 .85rem;font-size:.95em;font-weight:500}" +
    ".tidings-form-optional{font-weight:400;opacity:.7}" +
    ".tidings-form input{display:block;width:100%;margin:.25rem 0 0;padding:.6rem .75rem;font:inherit;" +
    "font-weight:400;color:#23211d;background:#fff;border:1px solid #8a8478;border-radius:6px}" +
    ".tidings-form input[aria-invalid=true]{border-color:#9c2f2f}" +
    ".tidings-form button{width:100%;margin:0;padding:.7rem 1rem;font:inherit;font-weight:600;color:#fff;" +
    "background:#8a3b12;border:0;border-radius:6px;cursor:pointer}" +
    ".tidings-form button:hover{background:#6f2e0d}" +
    ".tidings-form button[disabled]{opacity:.6;cursor:default}" +
    ".tidings-form :focus-visible{outline:2px solid #8a3b12;outline-offset:2px}" +
    ".tidings-form-error{margin:0 0 .85rem;padding:.5rem .75rem;font-size:.95em;color:#7d2020;" +
    "background:#fbeeee;border-radius:6px}" +
    ".tidings-form-error:empty{display:none}" +
    ".tidings-form-done{margin:0;font-size:1.05em}" +
    ".tidings-form-trap{position:absolute!important;left:-9999px!important}";

  function dress() {
    if (window.tidingsFormDressed) { return; }
    window.tidingsFormDressed = true;
    // A sheet made here is allowed where the site's own policy refuses style elements.
    try {
      var sheet = new CSSStyleSheet();
      sheet.replaceSync(look);
      document.adoptedStyleSheets = [].concat(Array.prototype.slice.call(document.adoptedStyleSheets), [sheet]);
    } catch (problem) {
      var style = document.createElement("style");
      style.textContent = look;
      document.head.appendChild(style);
    }
  }

  function make(tag, properties, children) {
    var node = document.createElement(tag);
    Object.keys(properties || {}).forEach(function (name) {
      if (name === "text") { node.textContent = properties.text; }
      else { node.setAttribute(name, properties[name]); }
    });
    (children || []).forEach(function (child) { if (child) { node.appendChild(child); } });
    return node;
  }

  function build() {
    var first = make("input", { type: "text", name: "first_name", maxlength: "255", autocomplete: "given-name" });
    var email = make("input", {
      type: "email", name: "email", maxlength: "254", required: "", autocomplete: "email"
    });
    var error = make("p", { "class": "tidings-form-error", role: "alert" });
    var button = make("button", { type: "submit", text: form.button });
    var element = make("form", { method: "post", action: form.action }, [
      make("label", {}, [
        make("span", { text: "First name " }),
        make("span", { "class": "tidings-form-optional", text: "(optional)" }),
        first
      ]),
      make("label", {}, [make("span", { text: "Email address" }), email]),
      make("div", { "class": "tidings-form-trap", "aria-hidden": "true" }, [
        make("label", { text: "Leave this empty" }, [
          make("input", { type: "text", name: "website", tabindex: "-1", autocomplete: "off" })
        ])
      ]),
      error,
      button
    ]);
    var box = make("div", { "class": "tidings-form", "data-form": String(form.id) }, [
      make("p", { "class": "tidings-form-title", role: "heading", "aria-level": "2", text: form.title }),
      form.description ? make("p", { "class": "tidings-form-text", text: form.description }) : null,
      element
    ]);
    var inputs = { email: email, first_name: first };

    function say(text, field) {
      error.textContent = text;
      Object.keys(inputs).forEach(function (name) {
        if (name === field) { inputs[name].setAttribute("aria-invalid", "true"); }
        else { inputs[name].removeAttribute("aria-invalid"); }
      });
      if (text) { (inputs[field] || button).focus(); }
    }

    function done(answer) {
      if (answer.redirect_url && /^https?:\/\//i.test(answer.redirect_url)) {
        window.location.assign(answer.redirect_url);
        return;
      }
      var message = make("p", { "class": "tidings-form-done", role: "status", tabindex: "-1" });
      box.replaceChild(message, element);
      message.textContent = answer.message;
      message.focus();
    }

    element.addEventListener("submit", function (event) {
      event.preventDefault();
      if (button.disabled) { return; }
      var pairs = new URLSearchParams();
      new FormData(element).forEach(function (value, name) { pairs.append(name, value); });
      button.disabled = true;
      say("");
      fetch(form.action, {
        method: "POST", body: pairs, credentials: "omit", headers: { Accept: "application/json" }
      }).then(function (response) {
        return response.json().then(function (answer) {
          button.disabled = false;
          if (response.ok) { done(answer); }
          else { say(answer.message || "This did not work. Please try again later.", answer.field); }
        });
      }).catch(function () {
        button.disabled = false;
        say("This could not be sent. Please check your connection and try again.");
      });
    });
    return box;
  }

  var script = document.currentScript || document.querySelector('script[src*="/forms/' + form.id + '.js"]');
  dress();
  if (script && script.parentNode && script.parentNode !== document.head) {
    script.parentNode.insertBefore(build(), script);
  } else if (document.body) {
    document.body.appendChild(build());
  } else {
    document.addEventListener("DOMContentLoaded", function () { document.body.appendChild(build()); });
  }
})();
