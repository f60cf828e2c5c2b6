"""What rules should do, with plain sets and lists beside the real thing.

A world of people, events and a clock: whatever happens is an event, an event that is told starts
runs, a run that is done changes people, and that again is an event.
"""

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from tests.core.cast import DAY, HOUR, Owner
from tidings.core.automations import DEPTH_MAX, Action, Condition, Trigger

PEOPLE_MOST, RULES_MOST = 4, 6
# So few that chains meet it, within histories of this length.
CHAINED = 25
CITIES = ("Berlin", "Oslo")
WAITS = (0, 1, HOUR // 2, HOUR, DAY)
# What people do, and what is done to them.
LIVES = (
    "tag", "tag", "untag", "vip", "unvip", "Berlin", "Oslo", "nowhere", "buy", "course", "off form",
    "leave", "rejoin", "bounce",
)  # fmt: skip
# On SQLite and PostgreSQL: how many histories of how many steps.
LENGTHS = {
    "sqlite": {"test": (40, 30), "ci": (500, 50), "release": (5_000, 50)},
    "postgres": {"test": (8, 25), "ci": (500, 50), "release": (2_000, 50)},
}
# A rule in words: what starts it, conditions and whether each is negated, actions.
WishWords = tuple[str, list[tuple[str, bool]], list[str]]
which = st.integers(0, 1_000)
kinds_of_trigger = st.sampled_from(
    (
        "tag_add", "tag_remove", "vip_add", "vip_remove", "form_subscribe", "course_subscribe",
        "field_change", "field_is", "subscriber_activate", "subscriber_unsubscribe", "purchase_create",
        "product_purchase",
    )
)  # fmt: skip
kinds_of_condition = st.sampled_from(
    ("tag", "vip", "active", "form", "sequence", "Berlin", "somewhere", "bought", "bought 7")
)
kinds_of_action = st.sampled_from(
    (
        "tag", "untag", "vip", "unvip", "course", "off course", "form", "off form", "Berlin", "nowhere",
        "mail", "leave", "post",
    )
)  # fmt: skip
wishes = st.tuples(
    kinds_of_trigger,
    st.lists(st.tuples(kinds_of_condition, st.booleans()), max_size=1),
    st.lists(kinds_of_action, min_size=1, max_size=3, unique=True),
)

# Rules that start one another for ever, but for the limits.
CIRCLES: list[list[WishWords]] = [
    [],
    [("tag_add", [], ["untag"]), ("tag_remove", [], ["tag"])],
    [("tag_add", [], ["vip", "untag"]), ("vip_add", [], ["unvip", "tag"]), ("vip_remove", [], ["tag"])],
    [("field_change", [("Berlin", True)], ["Berlin"]), ("field_is", [], ["nowhere"])],
]


@dataclass
class Human:
    """One person; `inside` holds tag, vip, form, sequence."""

    id: int
    email: str
    state: str = "active"
    city: str | None = None
    bought: bool = False
    inside: set[str] = field(default_factory=set)
    runs: list[int] = field(default_factory=list)


@dataclass
class Happened:
    """One event that waits to be told."""

    name: str
    about: str | None
    who: int
    at: int
    depth: int


@dataclass
class Waiting:
    """One run that waits to be done."""

    rule: int
    who: int
    depth: int


@dataclass
class Ruled:
    """One rule: words of the strategies above."""

    trigger: str
    conditions: list[tuple[str, bool]]
    actions: list[str]
    on_since: int | None
    ran: int = 0
    problem: bool = False
    ended: Counter[str] = field(default_factory=Counter)

    @property
    def listens(self) -> tuple[str, str | None]:
        """The event that starts it, and what that must be about."""
        match self.trigger:
            case "tag_add" | "tag_remove":
                return self.trigger, "tag"
            case "vip_add" | "vip_remove":
                return self.trigger.replace("vip", "tag"), "vip"
            case "field_is":
                return "field_change", "Berlin"
            case "product_purchase":
                return self.trigger, "7"
        return self.trigger, None


class World:
    """All of it; `now` is the clock's."""

    def __init__(self) -> None:
        self.now = 0
        self.people: dict[int, Human] = {}
        self.rules: dict[int, Ruled] = {}
        self.deleted: set[int] = set()
        self.events: list[Happened] = []
        self.due: list[Waiting] = []
        self.mails: Counter[tuple[int, int]] = Counter()
        self.posts: Counter[tuple[int, int]] = Counter()

    # -- what happens ---------------------------------------------------------------

    def happen(self, who: Human, name: str, about: str | None = None, depth: int = 0) -> None:
        """Record an event, if any rule that is on listens to its name."""
        on = [one for one in self.rules.values() if one.on_since is not None]
        if any(one.listens[0] == name for one in on):
            self.events.append(Happened(name, about, who.id, self.now, depth))

    def sign_up(self, one: int, email: str) -> None:
        self.people[one] = who = Human(one, email)
        self.put(who, "form", "form_subscribe")
        self.happen(who, "subscriber_activate")

    def rejoin(self, who: Human) -> None:
        """They subscribe to the form, wherever they were."""
        back = who.state == "cancelled"
        if back:
            who.state = "active"
        self.put(who, "form", "form_subscribe")
        if back:
            self.happen(who, "subscriber_activate")

    def put(self, who: Human, what: str, name: str, depth: int = 0) -> None:
        if what not in who.inside:
            who.inside.add(what)
            self.happen(who, name, what if name == "tag_add" else None, depth)

    def untag(self, who: Human, what: str, depth: int = 0) -> None:
        if what in who.inside:
            who.inside.discard(what)
            self.happen(who, "tag_remove", what, depth)

    def move(self, who: Human, city: str | None, depth: int = 0) -> None:
        if who.city != city:
            who.city = city
            self.happen(who, "field_change", city, depth)

    def leave(self, who: Human, depth: int = 0) -> None:
        left = who.state == "active"
        if left:
            who.state = "cancelled"
        who.inside -= {"form", "sequence"}
        if left:
            self.happen(who, "subscriber_unsubscribe", None, depth)

    def buy(self, who: Human) -> None:
        who.bought = True
        self.happen(who, "purchase_create")
        self.happen(who, "product_purchase", "7")

    # -- what rules do --------------------------------------------------------------

    def tell(self) -> None:
        """Every event that waits starts its runs."""
        for event in self.events:
            for number, rule in self.rules.items():
                if rule.on_since is None or rule.on_since > event.at:
                    continue
                name, about = rule.listens
                if name == event.name and about in (None, event.about):
                    self.due.append(Waiting(number, event.who, event.depth + 1))
                    self.people[event.who].runs.append(self.now)
        self.events.clear()

    def do(self) -> None:
        """Every run that waits is done; what follows from it waits again."""
        due, self.due = self.due, []
        for run in due:
            self._run(run)

    def _run(self, run: Waiting) -> None:
        rule, who = self.rules.get(run.rule), self.people[run.who]
        if rule is None:
            return
        if rule.on_since is None:
            rule.ended["skipped"] += 1
            return
        too_many = run.depth > 1 and len(who.runs) > CHAINED and who.runs[-CHAINED - 1] > self.now - HOUR
        if run.depth > DEPTH_MAX or too_many:
            rule.ended["cut"] += 1
            rule.problem = True
            return
        if not all(self._holds(who, kind) != negated for kind, negated in rule.conditions):
            rule.ended["skipped"] += 1
            return
        for action in rule.actions:
            self._act(run, who, action)
        rule.ended["done"] += 1
        rule.ran += 1

    def _holds(self, who: Human, kind: str) -> bool:
        match kind:
            case "active":
                return who.state == "active"
            case "Berlin":
                return who.city == "Berlin"
            case "somewhere":
                return who.city is not None
            case "bought" | "bought 7":
                return who.bought
        return kind in who.inside

    def _act(self, run: Waiting, who: Human, action: str) -> None:
        reachable = who.state == "active"
        match action:
            case "tag" | "vip":
                self.put(who, action, "tag_add", run.depth)
            case "untag" | "unvip":
                self.untag(who, action.removeprefix("un"), run.depth)
            case "form" if reachable:
                self.put(who, "form", "form_subscribe", run.depth)
            case "course" if reachable:
                self.put(who, "sequence", "course_subscribe", run.depth)
            case "off form":
                who.inside.discard("form")
            case "off course":
                who.inside.discard("sequence")
            case "Berlin" | "nowhere":
                self.move(who, None if action == "nowhere" else action, run.depth)
            case "leave" if reachable:
                self.leave(who, run.depth)
            case "mail" if reachable:
                self.mails[run.rule, run.who] += 1
            case "post":
                self.posts[run.rule, run.who] += 1


def trigger(owner: Owner, kind: str) -> Trigger:
    """The real trigger for a word."""
    return {
        "tag_add": Trigger("tag_add", owner.tag),
        "tag_remove": Trigger("tag_remove", owner.tag),
        "vip_add": Trigger("tag_add", owner.vip),
        "vip_remove": Trigger("tag_remove", owner.vip),
        "form_subscribe": Trigger("form_subscribe", owner.plain),
        "course_subscribe": Trigger("course_subscribe", owner.sequence),
        "field_change": Trigger("field_change", owner.city),
        "field_is": Trigger("field_change", owner.city, "Berlin"),
        "product_purchase": Trigger("product_purchase", value="7"),
    }.get(kind, Trigger(kind))


def condition(owner: Owner, kind: str, negated: bool) -> Condition:
    """The real condition for a word."""
    made = {
        "tag": Condition("tag", owner.tag),
        "vip": Condition("tag", owner.vip),
        "active": Condition("state", value="active"),
        "form": Condition("form", owner.plain),
        "sequence": Condition("sequence", owner.sequence),
        "Berlin": Condition("field", owner.city, "Berlin", "equals"),
        "somewhere": Condition("field", owner.city, how="set"),
        "bought": Condition("bought"),
        "bought 7": Condition("bought", value="7"),
    }[kind]
    return Condition(made.kind, made.ref_id, made.value, made.how, negated)


def action(owner: Owner, kind: str) -> Action:
    """The real action for a word."""
    return {
        "tag": Action("add_tag", owner.tag),
        "untag": Action("remove_tag", owner.tag),
        "vip": Action("add_tag", owner.vip),
        "unvip": Action("remove_tag", owner.vip),
        "course": Action("add_to_sequence", owner.sequence),
        "off course": Action("remove_from_sequence", owner.sequence),
        "form": Action("add_to_form", owner.plain),
        "off form": Action("remove_from_form", owner.plain),
        "Berlin": Action("set_field", owner.city, "Berlin"),
        "nowhere": Action("set_field", owner.city),
        "mail": Action("send_email", subject="Hello", html="<p>Hello</p>"),
        "leave": Action("unsubscribe"),
        "post": Action("post", value="https://shop.example.com/in"),
    }[kind]
