// The rich text of a letter. It grows on a textarea that works without it.
import { Editor } from "@tiptap/core";
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

const EXTENSIONS = [
  Document, Paragraph, Text, HardBreak, Heading.configure({ levels: [1, 2, 3] }), Bold, Italic,
  BulletList, OrderedList, ListItem, ListKeymap, Blockquote, HorizontalRule, Image,
  Link.configure({ openOnClick: false }), Dropcursor, Gapcursor, UndoRedo, Placeholder,
];

for (const field of document.querySelectorAll("textarea[data-editor]")) {
  const place = document.createElement("div");
  field.before(place);
  field.hidden = true;
  new Editor({
    element: place,
    extensions: EXTENSIONS,
    content: field.value,
    onUpdate: ({ editor }) => { field.value = editor.getHTML(); },
  });
}
