"""Drives PyPI's `convertkit-py` 0.3.0, unchanged: its base address is a class attribute."""

import json
import sys

from convertkit import ConvertKit

world = json.loads(sys.argv[1])
ConvertKit.BASE_URL = world["base"] + "/v3"
client = ConvertKit(world["api_key"], world["api_secret"], form_name="webinar")
# Half a second between requests is this client's own politeness; waiting proves nothing here.
client.min_request_interval = 0

assert client.form_id == world["plain"]
client.create_custom_fields(["Last name"])
client.create_custom_fields(["Occupation", "City"])
assert [field["key"] for field in client.list_custom_fields()] == ["last_name", "occupation", "city"]
client.create_tags("customer")
client.create_tags(["customer", "reader", "friend"])
assert sorted(tag["name"] for tag in client.list_tags()) == ["customer", "friend", "reader"]
person = {
    "email": "arya@example.com",
    "first_name": "Arya",
    "fields": {"last_name": "Stark"},
    "tags": ["reader"],
}
client.create_subscriber_with_fields_and_tags(person)

found = client.list_subscribers(email_address="arya@example.com")
assert (found["total_subscribers"], found["page"], found["total_pages"]) == (1, 1, 1), found
arya = found["subscribers"][0]
assert arya["fields"] == {"last_name": "Stark", "occupation": None, "city": None}, arya
assert client.get_subscriber(arya["id"]) == arya
assert [tag["name"] for tag in client.list_subscriber_tags(arya["id"])] == ["reader"]

change = {"fields": {"occupation": "Assassin"}, "tags": ["customer", "friend"]}
client.update_subscriber_fields_and_tags(arya["id"], change)
[known] = client.list_subscribers_with_tags(from_date="2020-01-01", sort_order="desc")
assert known["fields"] == {"last_name": "Stark", "occupation": "Assassin", "city": None}, known
assert sorted(tag["name"] for tag in known["tags"]) == ["customer", "friend"], known

for number in range(60):
    more = {"email": f"p{number}@example.com", "first_name": "P", "fields": {}, "tags": []}
    client.create_subscriber_with_fields_and_tags(more)
everybody = client.list_all_subscribers()
assert len(everybody) == len({one["id"] for one in everybody}) == 61, len(everybody)
assert client.list_subscribers(sort_field="cancelled_at")["subscribers"] == []
assert client.list_subscribers(page=9)["subscribers"] == []
days = {"from_date": "2020-01-01", "to_date": "2099-12-31"}
changed = {"updated_from": "2020-01-01", "updated_to": "2099-12-31"}
assert client.list_subscribers(**days, **changed)["total_subscribers"] == 61
assert client.list_subscribers(to_date="2020-01-01")["subscribers"] == []
assert client.delete_custom_field_by_name("occupation") is True
assert client.get_form_id_by_name("no such form") is None
print("driven")
