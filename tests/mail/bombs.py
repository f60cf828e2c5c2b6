"""Templates that would eat the machine: each is put in a branch that one person of a batch enters.

More stand in test_render.py, where the limits alone must stop them.
"""


def looped(inner: str, deep: int = 1) -> str:
    """Put something in loops of a thousand."""
    return "{% for i in (1..1000) %}" * deep + inner + "{% endfor %}" * deep


# A text of 131,072 letters, and a list of 512 items, made within the limits of one render.
B = "{% assign b = 'x' %}{% for i in (1..17) %}{% assign b = b | append: b %}{% endfor %}"
L = "{% assign l = 'a,b,c,d' | split: ',' %}{% for i in (1..7) %}{% assign l = l | concat: l %}{% endfor %}"

BOMBS = {
    "append": "{% for i in (1..60) %}{% assign x = x | append: 'a' | append: x %}{% endfor %}{{ x }}",
    "capture": "{% assign x = 'aa' %}" + looped("{% capture x %}{{ x }}{{ x }}{% endcapture %}"),
    "join": B + L + "{{ l | join: b }}",
    "replace": B + "{{ b | replace: 'x', b }}",
    "replace nothing": B + "{{ b | replace: '', b }}",
    "prepend": B + looped("{% assign b = b | prepend: b %}"),
    "escape": B + "{% assign b = b | replace: 'x', '&' %}{{ b" + " | escape" * 12 + " }}",
    "url_encode": B + "{% assign b = b | replace: 'x', '%' %}{{ b" + " | url_encode" * 12 + " }}",
    "base64": B + "{{ b" + " | base64_encode" * 40 + " }}",
    "newline_to_br": B + "{{ b | replace: 'x', '\n'" + " | newline_to_br" * 3 + " }}",
    "split and join": B + "{{ b | split: '' | join: b }}",
    "truncate": B + "{{ b | truncate: 999999999, b }}{{ b | truncatewords: 9999999, b }}" * 40,
    "concat": L + looped("{% assign l = l | concat: l %}"),
    "squares": "{% assign n = 3 %}" + looped("{% assign n = n | times: n %}") + "{{ n }}",
    "digits": "{{ '9' | times: 1e308 | times: 1e308 | round }}{{ '1e999999' | plus: 1 | ceil }}",
    "loops in loops": looped("x", 3),
    "loops over letters": B + "{% for a in b %}" + looped("x", 2) + "{% endfor %}" + looped("x", 2),
    "conditions": B + looped("{% if b contains 'y' %}{% endif %}", 2),
    "searching": B + looped("{% if b contains 'xy' %}y{% endif %}{{ b | replace: 'xy', '' | size }}"),
    "sorting": L + looped("{{ l | sort | size }}{{ l | sort_natural | size }}"),
    "comparing": L + looped("{{ l | uniq | size }}"),
    "mapping": L + looped("{{ l | map: 'a' | compact | size }}{{ l | where: 'a', 'b' | size }}"),
    "adding": L + looped("{{ l | sum }}{{ l | reverse | join: '' }}"),
    "stripping": B + looped("{{ b | replace: 'x', '<' | strip_html }}"),
    "dates": looped("{{ 'now' | date: '%c%c%c%c%c%c%c%c' }}" * 60),
    "ranges": looped("{{ (1..1000) | join: ',' }}"),
    "an endless range": "{{ (1..99999999999999999999) | size }}",
    "a person's range": "{% for i in (1..subscriber.number) %}{{ i }}{% endfor %}",
    "tablerow": "{% tablerow i in (1..1000) %}" + looped("{{ i }}") + "{% endtablerow %}",
    "cycle": looped("{% cycle 'a', 'b' %}", 2),
    "increment": looped("{% increment n %}", 2),
    "ifchanged": B + looped("{% ifchanged %}{{ b }}{{ i }}{% endifchanged %}"),
    "output": B + looped("{{ b }}"),
    "names": B + "".join(f"{{% assign n{n} = b %}}" for n in range(100)),
    "a long person": looped("{{ subscriber.long | upcase | strip | append: subscriber.long }}"),
    "case": looped("{% case i %}{% when 1, 2, 3 %}a{% else %}b{% endcase %}", 2),
    "liquid": looped("{% liquid\n assign z = i | times: 2\n echo z\n%}", 2),
    "slices": B + looped("{{ b | slice: 0, 999999 | slice: 1, 999998 | size }}"),
}
