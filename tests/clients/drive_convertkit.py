"""Drives PyPI's `convertkit` 0.4, unchanged: its base address is an argument of its constructor."""

import json
import sys

from convertkit import APIError, ConvertKit

world = json.loads(sys.argv[1])
client = ConvertKit(world["api_key"], base_url=world["base"] + "/")

forms = client.forms.list()
assert [form.name for form in forms] == ["Newsletter", "Webinar"], forms
added = forms[0].add_subscriber("jon@example.com", "Jon")
assert added.id and added.state == "inactive", added.params
assert added.subscribable_type == "form" and set(added.subscriber) == {"id"}, added.params
again = forms[1].add_subscriber("jon@example.com", "Jon Snow")
assert again.state == "active" and again.subscriber == added.subscriber, again.params
try:
    forms[1].add_subscriber("no address", "Nobody")
except APIError as problem:
    assert b"Email address is invalid" in problem.args[0], problem
else:
    raise AssertionError("a malformed address was taken")
try:
    ConvertKit("not a key", base_url=world["base"] + "/").forms.list()
except APIError as problem:
    assert b"API Key not valid" in problem.args[0], problem
else:
    raise AssertionError("an unknown key was taken")
assert repr(forms[1]) == "<Form:Webinar>" and repr(added) == f"<Subscriber {added.id}>"
print("driven")
