"""Words as owners and strangers write them, by the name of the field: for pages that somebody looks at."""

from typing import Final

_WORDS: Final = {
    "account": "a letter from the garden",
    "user": "Grace Hopper",
    "user agent": "Firefox 150 on Linux",
    "audit subject": "Autumn in the garden",
    "tag": "customer",
    "custom field": "Favourite plant",
    "title": "A letter from the garden, every second Sunday",
    "description": "What grows, what to sow, and one good book.",
    "sign_up_button_text": "Send it to me",
    "success_message": "Nearly there: please confirm by the mail that we have just sent.",
    "form": "Footer of the shop",
    "sequence": "Your first vegetable bed",
    "subject": "Autumn in the garden",
    "sequence HTML": "<h2>First, the soil</h2><p>Dig less than you think.</p>",
    "sequence text": "Water in the morning.",
    "preheader": "Three things to do before the first frost",
    "snippet": "Yours, Ada",
    "why disabled": "The endpoint was gone: 410 for two days",
    "rule subject": "Thank you for your order",
    "rule HTML": "It leaves tomorrow.",
    "rule": "Customers get a thank-you",
    "source": "https://shop.example.com/garden",
    "referrer": "https://search.example.com/",
    "agent": "Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0",
    "local part": "bea",
    "first name": "Bea",
    "field value": "Rosemary",
    "transaction": "ORDER-2026-1041",
    "integration": "WooCommerce",
    "product": "Seeds for a window sill",
    "broadcast HTML": "<h2>Before the first frost</h2><p>Bring in the geraniums.</p>",
    "description of a broadcast": "The October letter",
    "why paused": "paused by hand",
    "file name": "customers-2026.csv",
    "proof": "confirmed on the old list, 2023",
    "SMTP reply": "mailbox unavailable",
    "webhook error": "",
    "webhook answer": '{"ok": true}',
}


def natural(name: str) -> str:
    """Return what may well stand in a field."""
    return _WORDS.get(name, f"Some {name}")
