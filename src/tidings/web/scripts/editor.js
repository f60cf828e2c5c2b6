// The rich text of a letter, on a textarea that works without it: what is written here stands there too.
import { Editor, Extension, Node } from "@tiptap/core";
import { Blockquote } from "@tiptap/extension-blockquote";
import { Bold } from "@tiptap/extension-bold";
import { Document } from "@tiptap/extension-document";
import { HardBreak } from "@tiptap/extension-hard-break";
import { Heading } from "@tiptap/extension-heading";
import { HorizontalRule } from "@tiptap/extension-horizontal-rule";
import { Image } from "@tiptap/extension-image";
import { Italic } from "@tiptap/extension-italic";
import { Link } from "@tiptap/extension-link";
import { BulletList, ListItem, ListKeymap, OrderedList } from "@tiptap/extension-list";
import { Paragraph } from "@tiptap/extension-paragraph";
import { Text } from "@tiptap/extension-text";
import { Dropcursor, Gapcursor, Placeholder, UndoRedo } from "@tiptap/extensions";
import { Plugin } from "@tiptap/pm/state";
import { Decoration, DecorationSet } from "@tiptap/pm/view";

// An address that a reader's mail program can follow, or Liquid that becomes one.
const FOLLOWED = /^(https?:\/\/|mailto:|tel:|\{\{)/i;
const HANDLER = /[\s"'/]on[a-z]+\s*=/i;
// Two spellings of one element, and the elements around which a blank is part of the words.
const RENAMED = { B: "STRONG", I: "EM" };
const INLINE = new Set(["A", "STRONG", "EM", "BR", "SPAN", "CODE", "U", "S"]);
const LIQUID = /\{\{[^{}]*\}\}|\{%[^{}]*%\}/g;

// A link that looks like a button: a paragraph with one link in it, styled by the letter's layout.
const Button = Node.create({
  name: "button",
  group: "block",
  content: "text*",
  marks: "",
  defining: true,
  addAttributes() {
    return { href: { default: "" } };
  },
  parseHTML() {
    return [
      {
        tag: "p",
        priority: 60,
        getAttrs: (element) => {
          const link = element.children.length === 1 ? element.firstElementChild : null;
          const alone = link?.matches("a.button") && element.textContent.trim() === link.textContent.trim();
          return alone ? { href: link.getAttribute("href") ?? "" } : false;
        },
        contentElement: "a.button",
      },
    ];
  },
  renderHTML({ node }) {
    return ["p", ["a", { class: "button", href: node.attrs.href }, 0]];
  },
});

// Shows Liquid in the text as what it is.
const Merge = Extension.create({
  name: "merge",
  addProseMirrorPlugins() {
    return [
      new Plugin({
        props: {
          decorations(state) {
            const found = [];
            state.doc.descendants((node, at) => {
              if (!node.isText) return;
              for (const match of node.text.matchAll(LIQUID)) {
                found.push(Decoration.inline(at + match.index, at + match.index + match[0].length, { class: "liquid" }));
              }
            });
            return DecorationSet.create(state.doc, found);
          },
        },
      }),
    ];
  },
});

const EXTENSIONS = [
  Document, Paragraph, Text, HardBreak, Heading.configure({ levels: [1, 2, 3] }), Bold, Italic,
  BulletList, OrderedList, ListItem, ListKeymap, Blockquote, HorizontalRule, Image.configure({ inline: false }),
  Link.configure({
    openOnClick: false,
    autolink: true,
    defaultProtocol: "https",
    isAllowedUri: (url) => FOLLOWED.test(url ?? ""),
    HTMLAttributes: { target: null, rel: null, class: null },
  }),
  Button, Merge, Dropcursor, Gapcursor, UndoRedo,
  Placeholder.configure({ placeholder: "Write your letter …" }),
];

start(document);
// A part of a page that was put in later.
document.addEventListener("htmx:load", (event) => start(event.detail.elt));

function start(part) {
  for (const field of part.querySelectorAll("[data-pad] > textarea:enabled")) {
    if (field.dataset.started) continue;
    field.dataset.started = "1";
    merge(field);
    if (field.dataset.way === "rich") grow(field);
    if (field.hasAttribute("data-editor")) offer(field);
  }
}

// Merge fields go where the cursor stands; the rich editor takes the event first where it is open.
function merge(field) {
  const choice = field.closest("[data-pad]").querySelector("[data-insert]");
  choice.hidden = false;
  choice.addEventListener("change", () => {
    const text = choice.value;
    choice.value = "";
    if (!text) return;
    const wanted = new CustomEvent("tidings:insert", { detail: text, cancelable: true });
    if (!field.dispatchEvent(wanted)) return;
    field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.focus();
  });
}

// A letter that is kept as HTML only: rich text, where that can hold all of it, with a switch between both.
function offer(field) {
  const ways = field.closest(".field").querySelector(".ways");
  ways.querySelector("[data-way-said]")?.remove();
  const group = document.createElement("span");
  group.setAttribute("role", "group");
  group.setAttribute("aria-label", "The letter is written as");
  const said = document.createElement("p");
  said.className = "hint";
  said.setAttribute("role", "status");
  let close = null;
  const show = (rich) => {
    close?.();
    close = rich ? grow(field) : null;
    for (const [button, way] of buttons) button.setAttribute("aria-pressed", String(way === rich));
    said.textContent = "";
  };
  const choose = (rich) => {
    if (rich === Boolean(close)) return;
    if (!rich || held(field.value)) {
      show(rich);
      return;
    }
    said.textContent = "Rich text cannot hold all of this HTML, and would change it. ";
    const anyway = press("Change it to rich text", "button quiet small");
    anyway.type = "button";
    anyway.addEventListener("click", () => show(true));
    said.append(anyway);
  };
  const buttons = [["Rich text", true], ["HTML", false]].map(([name, way]) => {
    const button = press(name, "way");
    button.type = "button";
    button.addEventListener("click", () => choose(way));
    return [button, way];
  });
  group.append(...buttons.map(([button]) => button));
  ways.append(group);
  ways.after(said);
  show(held(field.value));
}

// Whether rich text gives back what it was given: the same elements, attributes and words.
function held(html) {
  // Even a document that runs nothing reports a handler to the page's policy: none is parsed.
  if (HANDLER.test(html)) return false;
  const given = normal(html);
  if (!given) return true;
  const editor = new Editor({ extensions: EXTENSIONS, content: html, injectCSS: false });
  const back = normal(editor.getHTML());
  editor.destroy();
  return given === back;
}

// HTML in one spelling: b is strong, i is em, words have single blanks, an item's one paragraph is no paragraph.
function normal(html) {
  const tidy = (text) =>
    text.replace(/ *(<\/?([A-Z][A-Z0-9]*)[^>]*>) */g, (all, tag, name) => (INLINE.has(name) ? all : tag)).trim();
  const of = (node) => {
    if (node.nodeType === window.Node.TEXT_NODE) return node.data.replace(/\s+/g, " ");
    if (node.nodeType !== window.Node.ELEMENT_NODE) return `<!${node.nodeName}>`;
    const name = RENAMED[node.nodeName] ?? node.nodeName;
    const attributes = [...node.attributes].map((one) => ` ${one.name}=${JSON.stringify(one.value)}`).sort();
    let inside = [...node.childNodes].map(of).join("");
    if (!INLINE.has(name)) inside = tidy(inside);
    if (name === "LI") inside = inside.replace(/^<P>(.*?)<\/P>/, "$1");
    return `<${name}${attributes.join("")}>${inside}</${name}>`;
  };
  const body = new DOMParser().parseFromString(html, "text/html").body;
  return tidy([...body.childNodes].map(of).join("")).replace(/(?:<P><\/P>)+$/, "");
}

// Puts rich text in the place of a field; returns what takes it away again.
function grow(field) {
  const pad = field.closest("[data-pad]");
  const place = document.createElement("div");
  place.className = "rich";
  field.before(place);
  field.hidden = true;
  const label = document.querySelector(`label[for="${field.id}"]`);
  if (label) {
    label.id ||= `${field.id}-label`;
    label.addEventListener("click", () => editor.commands.focus());
  }
  const editor = new Editor({
    element: place,
    extensions: EXTENSIONS,
    content: field.value,
    injectCSS: false,
    editorProps: {
      attributes: {
        role: "textbox",
        "aria-multiline": "true",
        ...(label ? { "aria-labelledby": label.id } : { "aria-label": "Letter" }),
      },
    },
    onUpdate: () => {
      // The line that waits at the end for more words is no part of the letter.
      field.value = editor.getHTML().replace(/(?:<p><\/p>)+$/, "");
      field.dispatchEvent(new Event("input", { bubbles: true }));
    },
  });
  const bar = toolbar(editor);
  const names = pad.querySelector("[data-merge]");
  pad.prepend(bar);
  bar.append(names);
  const take = (event) => {
    event.preventDefault();
    editor.chain().focus().insertContent({ type: "text", text: event.detail }).run();
  };
  field.addEventListener("tidings:insert", take);
  return () => {
    field.removeEventListener("tidings:insert", take);
    pad.prepend(names);
    bar.remove();
    editor.destroy();
    place.remove();
    field.hidden = false;
  };
}

function toolbar(editor) {
  const bar = document.createElement("div");
  bar.className = "toolbar";
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Form of the text");
  const act = (step) => () => step(editor.chain().focus()).run();
  const items = [
    ["H1", "H1, large heading", act((chain) => chain.toggleHeading({ level: 1 })), () => editor.isActive("heading", { level: 1 })],
    ["H2", "H2, heading", act((chain) => chain.toggleHeading({ level: 2 })), () => editor.isActive("heading", { level: 2 })],
    ["H3", "H3, small heading", act((chain) => chain.toggleHeading({ level: 3 })), () => editor.isActive("heading", { level: 3 })],
    null,
    ["B", "Bold", act((chain) => chain.toggleBold()), () => editor.isActive("bold"), "bold"],
    ["I", "Italic", act((chain) => chain.toggleItalic()), () => editor.isActive("italic"), "italic"],
    ["Link", "Link", () => ask(editor, "link"), () => editor.isActive("link")],
    null,
    ["•", "List", act((chain) => chain.toggleBulletList()), () => editor.isActive("bulletList")],
    ["1.", "1. numbered list", act((chain) => chain.toggleOrderedList()), () => editor.isActive("orderedList")],
    ["Quote", "Quote", act((chain) => chain.toggleBlockquote()), () => editor.isActive("blockquote")],
    ["Line", "Line across", act((chain) => chain.setHorizontalRule())],
    null,
    ["Image", "Image", () => ask(editor, "image"), () => editor.isActive("image")],
    ["Button", "Button", () => ask(editor, "button"), () => editor.isActive("button")],
    null,
    ["↶", "Undo", act((chain) => chain.undo())],
    ["↷", "Redo", act((chain) => chain.redo())],
  ];
  const buttons = [];
  for (const item of items) {
    if (!item) {
      const gap = document.createElement("span");
      gap.className = "toolbar-gap";
      bar.append(gap);
      continue;
    }
    const [text, name, step, pressed, style] = item;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.setAttribute("aria-label", name);
    button.title = name;
    if (style) button.classList.add(style);
    button.tabIndex = buttons.length ? -1 : 0;
    button.addEventListener("mousedown", (event) => event.preventDefault());
    button.addEventListener("click", step);
    bar.append(button);
    buttons.push([button, pressed]);
  }
  // One stop of the Tab key; the arrows go from button to button (WAI-ARIA, toolbar).
  bar.addEventListener("keydown", (event) => {
    const at = buttons.findIndex(([button]) => button === event.target);
    const last = buttons.length - 1;
    const next = { ArrowRight: at === last ? 0 : at + 1, ArrowLeft: at ? at - 1 : last, Home: 0, End: last }[event.key];
    if (at < 0 || next === undefined) return;
    event.preventDefault();
    for (const [button] of buttons) button.tabIndex = -1;
    buttons[next][0].tabIndex = 0;
    buttons[next][0].focus();
  });
  const show = () => {
    for (const [button, pressed] of buttons) {
      if (pressed) button.setAttribute("aria-pressed", String(pressed()));
    }
  };
  editor.on("transaction", show);
  show();
  return bar;
}

// Asks for an address, and what goes with it.
function ask(editor, kind) {
  const held = editor.getAttributes(kind);
  const about = {
    link: { title: "Link", address: held.href ?? "", second: "" },
    image: { title: "Image", address: held.src ?? "", second: "Description", said: held.alt ?? "" },
    button: { title: "Button", address: held.href ?? "", second: "Words on it", said: textOf(editor) },
  }[kind];
  const there = kind === "button" ? editor.isActive("button") : Boolean(about.address);
  const dialog = document.createElement("dialog");
  dialog.className = "ask";
  const form = document.createElement("form");
  form.method = "dialog";
  form.noValidate = true;
  const title = document.createElement("h2");
  title.id = "ask-title";
  title.textContent = about.title;
  dialog.setAttribute("aria-labelledby", title.id);
  const address = line(kind === "image" ? "Address of the image" : "Address", about.address, "https://");
  const second = about.second ? line(about.second, about.said, "") : null;
  if (kind === "image") second.hint.textContent = "For who sees no images. Empty where it is decoration alone.";
  const row = document.createElement("p");
  row.className = "buttons";
  const ok = press(there ? "Change" : "Insert", "button");
  const no = press("Cancel", "button quiet");
  no.type = "button";
  no.addEventListener("click", () => dialog.close());
  row.append(ok, no);
  if (there && kind !== "image") {
    const off = press("Remove", "button danger");
    off.type = "button";
    off.addEventListener("click", () => {
      dialog.close();
      const chain = editor.chain().focus();
      (kind === "link" ? chain.extendMarkRange("link").unsetLink() : chain.deleteNode("button")).run();
    });
    row.append(off);
  }
  form.append(title, address.box, ...(second ? [second.box] : []), row);
  dialog.append(form);
  document.body.append(dialog);
  dialog.addEventListener("close", () => {
    dialog.remove();
    editor.commands.focus();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const url = whole(address.input.value);
    const wrong = !FOLLOWED.test(url) ? "Begin with https://, mailto: or a merge field." : "";
    const empty = kind === "button" && !second.input.value.trim() ? "A button needs words." : "";
    address.say(wrong);
    second?.say(empty);
    if (wrong || empty) {
      (wrong ? address : second).input.focus();
      return;
    }
    dialog.close();
    insert(editor, kind, url, second?.input.value.trim() ?? "", there);
  });
  dialog.showModal();
  address.input.focus();
  address.input.select();
}

function insert(editor, kind, url, said, there) {
  const chain = editor.chain().focus();
  if (kind === "link") {
    const { empty } = editor.state.selection;
    if (empty && !there) {
      chain.insertContent({ type: "text", text: url, marks: [{ type: "link", attrs: { href: url } }] }).run();
    } else {
      chain.extendMarkRange("link").setLink({ href: url }).run();
    }
  } else if (kind === "image" && there) {
    chain.updateAttributes("image", { src: url, alt: said }).run();
  } else if (kind === "image") {
    after(editor, { type: "image", attrs: { src: url, alt: said } });
  } else if (there) {
    const { $from } = editor.state.selection;
    const node = { type: "button", attrs: { href: url }, content: [{ type: "text", text: said }] };
    chain.insertContentAt({ from: $from.before(), to: $from.after() }, node).run();
  } else {
    after(editor, { type: "button", attrs: { href: url }, content: [{ type: "text", text: said }] });
  }
}

// Puts a block behind what is selected, which may be a block itself, and the cursor behind that.
function after(editor, node) {
  const { to } = editor.state.selection;
  const last = editor.state.doc.content.size - to <= 1;
  editor.chain().focus().insertContentAt(to, last ? [node, { type: "paragraph" }] : node).run();
}

function textOf(editor) {
  const { from, to, $from } = editor.state.selection;
  return editor.isActive("button") ? $from.parent.textContent : editor.state.doc.textBetween(from, to, " ");
}

// "example.com" is meant as an address of the web.
function whole(given) {
  const url = given.trim();
  return url && !FOLLOWED.test(url) && /^[^\s:/]+\.[^\s:]{2,}/.test(url) ? `https://${url}` : url;
}

function line(said, value, placeholder) {
  const box = document.createElement("div");
  box.className = "field";
  const label = document.createElement("label");
  const input = document.createElement("input");
  const wrong = document.createElement("p");
  const hint = document.createElement("p");
  input.id = `ask-${said.toLowerCase().replace(/\W+/g, "-")}`;
  wrong.id = `${input.id}-wrong`;
  hint.id = `${input.id}-hint`;
  wrong.className = "wrong";
  hint.className = "hint";
  label.htmlFor = input.id;
  label.textContent = said;
  input.type = "text";
  input.value = value ?? "";
  input.placeholder = placeholder;
  input.autocomplete = "off";
  input.setAttribute("aria-describedby", `${wrong.id} ${hint.id}`);
  box.append(label, input, wrong, hint);
  return {
    box,
    input,
    hint,
    say(text) {
      wrong.textContent = text;
      input.toggleAttribute("aria-invalid", false);
      if (text) input.setAttribute("aria-invalid", "true");
    },
  };
}

function press(text, kind) {
  const button = document.createElement("button");
  button.textContent = text;
  button.className = kind;
  return button;
}
