"""The press: what runs away takes its process with it and nothing else."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mail.bombs import BOMBS as OWN_BOMBS
from tests.mail.letters import BASE, BEA, LETTER, parts
from tests.mail.press_planted import FAULTS
from tests.mail.test_render import BOMBS
from tidings.mail.content import Content, Recipient
from tidings.mail.press import GUILTY_MAX, KEPT_MAX, Press, Source

PLANTED = (str(Path(__file__).with_name("press_planted.py")),)
LOOP = "<p>{% for i in (1..3) %}{{ i }}{% endfor %} {{ subscriber.city }}</p>"


def run(work: Callable[[Press], Awaitable[None]], **given: object) -> None:
    """Work with a press, and stop it."""

    async def whole() -> None:
        press = Press(**given)  # type: ignore[arg-type]
        try:
            await work(press)
        finally:
            await press.stop()

    asyncio.run(whole())


def source(html: str, **changes: object) -> Source:
    letter: Content = replace(LETTER, html=html, **changes)  # type: ignore[arg-type]
    return Source(letter, BASE, "ada.example.com", {"https://a.test/": "0" * 16})


def named(*names: str) -> list[Recipient]:
    return [replace(BEA, first_name=name) for name in names]


def test_it_prints_what_the_content_itself_would_say() -> None:
    letter = source(LOOP + "<a href='https://a.test/'>x</a>", subject="For {{ subscriber.first_name }}")
    people = named("Bea", "Cal", "用户")

    async def work(press: Press) -> None:
        await press.start()
        compiled = letter.compile()
        assert await press.print("a", letter, people) == [compiled.message(person) for person in people]
        assert await press.print("a", letter, people[:1]) == [compiled.message(people[0])]
        assert await press.print("a", letter, []) == []

    run(work)


def test_a_lone_surrogate_costs_nobody_the_mail() -> None:
    async def work(press: Press) -> None:
        results = await press.print("a", source(LOOP + "\ud800"), named("Bea", "\ud800", "Cal"))
        assert [type(result) for result in results] == [bytes, bytes, bytes]

    run(work)


def test_a_key_with_another_source_is_compiled_anew_and_many_keys_are_kept_in_bounds() -> None:
    async def work(press: Press) -> None:
        for number in [*range(KEPT_MAX + 5), 0, 1, 0]:
            (made,) = await press.print(number, source(f"{LOOP}<p>no {number}.</p>"), [BEA])
            assert isinstance(made, bytes)
            assert f"no {number}." in parts(made)[1]
        for words in ("one", "two", "one"):
            (made,) = await press.print("same", source(f"{LOOP}{words}"), [BEA])
            assert isinstance(made, bytes)
            assert words in parts(made)[1]

    run(work)


@pytest.mark.parametrize("fault", FAULTS)
def test_only_the_one_to_blame_gets_no_mail(fault: str, tmp_path: Path) -> None:
    async def work(press: Press) -> None:
        letter = source(LOOP)
        results = await press.print("a", letter, named("Bea", fault, "Cal", fault, "Dee"))
        assert [type(result) for result in results] == [bytes, str, bytes, str, bytes]
        assert all(result for result in results)
        again = await press.print("a", letter, named("Eve"))
        assert isinstance(again[0], bytes)

    run(work, program=(*PLANTED, str(tmp_path)), message_s=1.0)
    assert not any(file.stat().st_size for file in tmp_path.iterdir())


def test_a_content_that_ends_the_process_for_everybody_does_not_hold_up_the_rest_for_long() -> None:
    async def work(press: Press) -> None:
        people = named(*["dies"] * (GUILTY_MAX + 50), "Bea")
        results = await press.print("a", source(LOOP), people)
        assert len(results) == len(people)
        assert all(isinstance(result, str) for result in results)
        assert isinstance((await press.print("b", source(LOOP), named("Bea")))[0], bytes)

    run(work, program=PLANTED)


def test_the_loop_goes_on_while_a_message_hangs() -> None:
    async def work(press: Press) -> None:
        await press.start()
        printing = asyncio.create_task(press.print("a", source(LOOP), named("spins")))
        turns = 0
        while not printing.done():
            await asyncio.sleep(0.01)
            turns += 1
        assert turns > 3
        assert isinstance(printing.result()[0], str)

    run(work, program=PLANTED, message_s=0.5)


def test_a_batch_that_was_given_up_leaves_nothing_behind_for_the_next() -> None:
    async def work(press: Press) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await press.print("a", source(LOOP), named("Bea", "hangs", "Cal"))
        made = await press.print("a", source(LOOP), named("Dee"))
        assert made == [source(LOOP).compile().message(named("Dee")[0])]

    run(work, program=PLANTED, message_s=60)


def test_batches_asked_for_at_once_take_turns() -> None:
    async def work(press: Press) -> None:
        letters = [source(f"{LOOP}{number}") for number in range(6)]
        made = await asyncio.gather(*(press.print(n, letter, [BEA]) for n, letter in enumerate(letters)))
        assert made == [[letter.compile().message(BEA)] for letter in letters]

    run(work)


@pytest.mark.parametrize(
    "broken", ("{{", "{% if %}", "{{ x | nofilter }}", "<a href='https://other.test/'>x</a>")
)
def test_a_content_that_cannot_be_compiled_says_why_to_each(broken: str) -> None:
    async def work(press: Press) -> None:
        results = await press.print("a", source(broken), named("Bea", "Cal"))
        assert len(results) == 2
        assert all(isinstance(result, str) and result for result in results)
        assert isinstance((await press.print("a", source(LOOP), named("Bea")))[0], bytes)

    run(work)


def test_a_press_that_cannot_start_says_so() -> None:
    async def work(press: Press) -> None:
        with pytest.raises(OSError, match="start"):
            await press.start()

    run(work, program=("-c", "raise SystemExit(1)"))


def test_no_bomb_survives_and_the_others_get_their_mail() -> None:
    person = replace(BEA, fields={"city": "Rome", "long": "x" * 65_000, "number": "99999999999"})
    people = [person, replace(person, fields={**person.fields, "city": "boom"}), person]

    async def work(press: Press) -> None:
        for name, bomb in OWN_BOMBS.items():
            letter = source("{% if subscriber.city == 'boom' %}" + bomb + "{% endif %}<p>Hi</p>")
            results = await press.print(name, letter, people)
            assert [type(result) for result in results] == [bytes, str, bytes], name

    run(work)


def test_no_bomb_of_the_corpus_takes_the_next_letter_with_it() -> None:
    async def work(press: Press) -> None:
        for name, (bomb, _) in BOMBS.items():
            results = await press.print(name, source(bomb), [BEA, BEA])
            assert len(results) == 2, name
            assert isinstance((await press.print("after", source(LOOP), [BEA]))[0], bytes), name

    run(work)
