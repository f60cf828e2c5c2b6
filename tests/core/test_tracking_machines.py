"""What a request says of who made it: people's are not marked, machines' say why."""

import pytest

from tidings.core.tracking import machines
from tidings.core.tracking.machines import Facts

BROWSER = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0"
GMAIL = "Mozilla/5.0 (Windows NT 5.1; rv:11.0) Gecko Firefox/11.0 (via ggpht.com GoogleImageProxy)"

PEOPLE = (
    Facts("GET", BROWSER, "", "198.51.100.7"),
    Facts("GET", GMAIL, "", "66.249.84.1"),
    Facts(
        "GET", "YahooMailProxy; https://help.yahoo.com/kb/yahoo-mail-proxy-SLN28749.html", "", "87.248.1.1"
    ),
    Facts("GET", "Mozilla/4.0 (compatible; ms-office; MSOffice rmj)", "", "198.51.100.7"),
    Facts(
        "GET", "Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 Mobile Safari/537.36", "", ""
    ),
    Facts(
        "GET", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15", "", "17.1.2.3"
    ),
    Facts("GET", BROWSER, "", "2001:db8::1"),
)
MACHINES = (
    (Facts("HEAD", BROWSER), machines.HEAD),
    (Facts("GET", ""), machines.AGENT),
    (Facts("GET", "   "), machines.AGENT),
    (Facts("GET", "curl/8.5.0"), machines.AGENT),
    (Facts("GET", "python-requests/2.32"), machines.AGENT),
    (Facts("GET", "Go-http-client/2.0"), machines.AGENT),
    (Facts("GET", "Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)"), machines.AGENT),
    (Facts("GET", "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)"), machines.AGENT),
    (Facts("GET", BROWSER.replace("Chrome", "HeadlessChrome")), machines.AGENT),
    (Facts("GET", "Mozilla/5.0", "", "198.51.100.7"), machines.AGENT),
    (Facts("GET", "Mozilla/5.0", "", "17.58.0.1"), machines.PROXY),
    (Facts("GET", BROWSER, "prefetch"), machines.PREFETCH),
    (Facts("GET", BROWSER, "prefetch;prerender"), machines.PREFETCH),
    (Facts("GET", BROWSER, "preview"), machines.PREFETCH),
    (Facts("GET", BROWSER, "", "209.222.82.9"), machines.GATEWAY),
    (Facts("GET", BROWSER, "", "::ffff:209.222.82.9"), machines.GATEWAY),
    (Facts("GET", BROWSER, "", "148.163.159.255"), machines.GATEWAY),
)


@pytest.mark.parametrize("facts", PEOPLE)
def test_a_person_s_request_is_taken_for_one(facts: Facts) -> None:
    assert machines.reason(facts) is None


@pytest.mark.parametrize(("facts", "expected"), MACHINES)
def test_a_machine_s_request_says_why(facts: Facts, expected: str) -> None:
    assert machines.reason(facts) == expected
