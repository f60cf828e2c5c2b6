"""URLs that mean this machine, or that make a reader believe so: every one is to be refused.

{port} stands for a port where a canary listens.
"""

import socket
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path

# Loopback three ways, "this host", a private and a metadata address.
INSIDE = ("127.0.0.1", "127.0.0.2", "127.255.255.254", "0.0.0.0", "10.0.0.1", "169.254.169.254")
FULLWIDTH = str.maketrans("0123456789.", "０１２３４５６７８９．")
CIRCLED = str.maketrans("0123456789", "⓪①②③④⑤⑥⑦⑧⑨")
MATHEMATICAL = str.maketrans("0123456789", "𝟎𝟏𝟐𝟑𝟒𝟓𝟔𝟕𝟖𝟗")
ARABIC = str.maketrans("0123456789", "٠١٢٣٤٥٦٧٨٩")


def urls() -> list[str]:
    """All of them, each once."""
    found = [f"http://{host}:{{port}}/hook" for host in hosts()]
    found += [f"https://{host}:{{port}}/hook" for host in hosts()][::5]
    found += [f"HTTP://{host}:{{port}}" for host in hosts()][::7]
    found += WHOLE
    found += [
        f"{scheme}127.0.0.1:{{port}}/hook"
        for scheme in SCHEMES
    ]  # fmt: skip
    found += [f"http://{user}127.0.0.1:{{port}}/hook" for user in USERS]
    found += [f"http://127.0.0.1{odd}:{{port}}/hook" for odd in ODD]
    found += [f"http://{odd}127.0.0.1:{{port}}/hook" for odd in ODD]
    found += [f"http://127.0.0.1:{{port}}{odd}" for odd in ODD]
    found += [f"http://127.0.0.1:{port}/hook" for port in PORTS]
    return list(dict.fromkeys(found))


def hosts() -> Iterator[str]:
    """Spellings of addresses inside, and names that lead there."""
    for address in INSIDE:
        yield from _v4(address)
    yield from V6
    yield from NAMES
    yield socket.gethostname()
    for line in Path("/etc/hosts").read_text(encoding="utf-8").splitlines():
        yield from line.partition("#")[0].split()[1:]


def _v4(address: str) -> Iterator[str]:
    number = int(IPv4Address(address))
    a, b, c, d = address.split(".")
    octets = [int(part) for part in (a, b, c, d)]
    yield address
    yield address + "."
    yield address + ".."
    yield str(number)
    yield f"0x{number:08x}"
    yield f"0X{number:08X}"
    yield f"0x{number:016x}"
    yield f"0{number:o}"
    yield f"000000{number:o}"
    yield ".".join(f"0x{octet:x}" for octet in octets)
    yield ".".join(f"0x{octet:04x}" for octet in octets)
    yield ".".join(f"0{octet:o}" for octet in octets)
    yield ".".join(f"{octet:03d}" for octet in octets)
    yield f"0x{octets[0]:x}.{b}.0{octets[2]:o}.{d}"
    yield f"{a}.{number & 0xFFFFFF}"
    yield f"{a}.{b}.{number & 0xFFFF}"
    yield f"0x{octets[0]:x}.0x{number & 0xFFFFFF:x}"
    yield str(number + 2**32)
    yield ".".join(str(octet + 256) for octet in octets)
    for table in (FULLWIDTH, CIRCLED, MATHEMATICAL, ARABIC):
        yield address.translate(table)
    for dot in ("。", "．", "｡", "%2e", "\u2024"):
        yield address.replace(".", dot)
    yield "".join(f"%{ord(letter):02x}" for letter in address)
    yield address.replace("1", "%31")
    yield address.replace("1", "1\u200b")
    yield address.replace("1", "1\u00ad")
    high, low = number >> 16, number & 0xFFFF
    for before in (
        "::ffff:",
        "::",
        "::ffff:0:",
        "64:ff9b::",
        "64:ff9b:1::",
        "2001:db8::5efe:",
        "fe80::5efe:",
    ):
        yield f"[{before}{address}]"
        yield f"[{before}{high:x}:{low:x}]"
    yield f"[0:0:0:0:0:FFFF:{high:04X}:{low:04X}]"
    yield f"[2002:{high:x}:{low:x}::1]"
    yield f"[2001:0:{high:x}:{low:x}::]"
    yield f"[2001:0:808:808:0:0:{high ^ 0xFFFF:x}:{low ^ 0xFFFF:x}]"
    yield f"[2606:4700::5efe:{high:x}:{low:x}]"
    yield f"[{address}]"
    yield f"::ffff:{address}"


V6 = (
    "[::1]", "[::]", "[0::1]", "[0:0:0:0:0:0:0:1]", "[0000:0000:0000:0000:0000:0000:0000:0001]", "[::0001]",
    "[::1%25lo]", "[::1%lo]", "[::1%251]", "[fe80::1]", "[fe80::1%25eth0]", "[fe80::1%eth0]", "[fec0::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[fdff::1]", "[ff02::1]", "[ff0e::1]", "[100::1]", "[2001::1]",
    "[2001:db8::1]", "[2001:2::1]", "[2001:10::1]", "[3fff::1]", "[5f00::1]", "[4000::1]", "[3ffe::1]",
    "[::1]]", "[[::1]]", "[::1", "::1]", "::1", "[::1].", "[::1].example.com", "[:: 1]", "[::1,::1]",
    "[v1.::1]", "[vF.127.0.0.1]", "[]", "[localhost]", "[::%31]", "%5b::1%5d", "[::ffff:127.1]",
    "[::ffff:0x7f.0.0.1]", "[::ffff:0177.0.0.1]", "[::１]", "[::7f00:1%25]", "[1::1::1]",
    "[0:0:0:0:0:0:0:0:1]",
)  # fmt: skip
NAMES = (
    "localhost", "LOCALHOST", "LocalHost", "localhost.", "localhost..", "localhost.localdomain",
    "a.localhost", "ip6-localhost", "ip6-loopback", "loopback", "broadcasthost", "localｈost", "ⓛocalhost",
    "loc%61lhost", "localhost%00.example.com", "localhost%2eexample.com", "127.0.0.1.nip.test",
    "127-0-0-1.sslip.test", "rebind.test", "metadata", "metadata.google.internal", "kubernetes.default.svc",
    "host.docker.internal", "gateway.docker.internal", "router.local", "printer.local.",
    "_dmarc.rebind.test", "xn--bcher-kva.test", "bücher.test", "ßharp.test", "例え.test", "пример.test",
    "xn--.test", "xn--a.test", "a" * 63 + ".test", "a" * 64 + ".test", ".".join(["a" * 60] * 5), "-a.test",
    "a-.test", "a..test", ".test", ".", "..", "*", "*.test", "a_b.test", "0", "0x", "0x0", "00", "1", "256",
    "1.1.1.1.1", "test.0x7f", "test.1", "test.127", "localhost,127.0.0.1", "localhost;a", "localhost'",
    "local host", "localhost\u3000", "127.0.0.1,8.8.8.8",
)  # fmt: skip
SCHEMES = (
    "file://", "file:///", "ftp://", "ftps://", "gopher://", "dict://", "ldap://", "ldaps://", "tftp://",
    "sftp://", "ssh://", "ws://", "wss://", "tcp://", "unix://", "unix:///", "http+unix://", "data:",
    "javascript:", "mailto:", "jar:http://", "view-source:http://", "blob:http://", "netdoc://", "php://",
    "smb://", "smtp://", "redis://", "//", "///", "/", "", ":", "://", "http:", "http:/", "http:///",
    "http:////", "http:\\\\", "http:/\\", "http:\\/", "https:\\\\", "http//", "hxxp://", "ht tp://",
    "ht\ttp://", "http ://", "\thttp://", "\x00http://", "\x01http://", "ｈttp://", "http:／／",
    "http://http://", "http://https:", "url:http://", "httpss://", "http\x00://", "h%74tp://",
)  # fmt: skip
USERS = (
    "user@", "user:password@", "@", ":@", "a:@", ":b@", "example.com@", "example.com:80@",
    "example.com%40@", "example.com%2f@", "example.com\\@", "example.com#@", "example.com?@",
    "example.com/@", "a@b@", "%00@", "[::1]@", "8.8.8.8@", "8.8.8.8:80@", "8.8.8.8\t@", "8.8.8.8&@",
    "8.8.8.8;@", "user＠", "user﹫", "example.com @",
)  # fmt: skip
ODD = (
    " ", "\t", "\r", "\n", "\r\n", "\x00", "\x0b", "\x0c", "\x1f", "\x7f", "\x85", "\xa0", "\u2028",
    "\u2029", "\ufeff", "\u200b", "\u200d", "\u2060", "\\", "%00", "%0d%0a", "%20", "%09", "%23", "%2f",
    "%5c", "%", "%zz", "%u0031", "|", "^", "`", "{", "}", "<", ">", '"', "\ud800", "\r\nHost: a",
    "\r\nX-A: b\r\n\r\n", " HTTP/1.1\r\nX: y", "\u560d\u560a",
)  # fmt: skip
PORTS = (
    "", "0", "00", "7", "22", "25", "53", "110", "143", "389", "465", "587", "636", "993", "995", "2049",
    "6000", "6667", "10080", "65536", "99999999999999999999", "-1", "+80", "8e1", "0x50", "80 ", " 80",
    "８０", "80:80", "a", "%38",
)  # fmt: skip
WHOLE = [
    "", " ", "http://", "https://", "http://:{port}/", "http://?", "http://#", "http:///hook", "http://:@/",
    "://", "http://[/", "http://]/", "http://%/", "http://%31/", "http://127.0.0.1:{port}" + "a" * 5_000,
    "http://" + "a." * 1_500 + "test/", "http://127.0.0.1:{port}/\r\nPOST /inner HTTP/1.1\r\n\r\n",
    "http://127.0.0.1:{port}/?a=\r\nb", "http://127.0.0.1:{port}#@example.com/",
    "http://127.0.0.1:{port}/@example.com", "http://example.com@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}\\@example.com/", "http://example.com\\@127.0.0.1:{port}/",
    "http://127.0.0.1:{port}?@example.com/", "http://127.0.0.1:{port};@example.com/",
    "http://127.0.0.1:{port}&@example.com#@127.0.0.2:{port}/", "http://localhost:{port}/hook",
    "https://localhost:{port}/hook", "http://localhost:{port}:{port}/hook", "http://127.0.0.1:{port}:80/",
    "http://127.0.0.1 :{port}/", "http://1 27.0.0.1:{port}/",
]  # fmt: skip
