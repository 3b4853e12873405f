"""Which addresses a request to somebody else's server may go to: public ones, and what the operator allows by name.

A URL is given by whoever may manage webhooks, and a name in it leads where its owner says, today here and tomorrow there. So
it is the address that is judged, when connecting, and the connection goes to that very address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IANA's special-purpose registries and what is not assigned for unicast; metadata services live in link-local.
_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.31.196.0/24", "192.52.193.0/24", "192.88.99.0/24", "192.168.0.0/16", "192.175.48.0/24",
        "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        # Public by its number, and a cloud's own host behind it.
        "168.63.129.16/32",
    )
)  # fmt: skip
_GLOBAL_UNICAST_6 = IPv6Network("2000::/3")
# Also what carries an IPv4 address inside: 6to4 (2002::/16) and Teredo, which is in 2001::/23. NAT64 and mapped addresses are
# outside of global unicast.
_NOT_PUBLIC_6 = tuple(IPv6Network(text) for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))


@dataclass(frozen=True, slots=True)
class Reach:
    """What may be connected to: public addresses or not, and further networks."""

    public: bool
    networks: Sequence[Network] = ()

    def allows(self, address: Address) -> bool:
        """Whether a connection may go to this address."""
        if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
            # The system would connect to the IPv4 address.
            address = address.ipv4_mapped
        if any(address.version == network.version and address in network for network in self.networks):
            return True
        return self.public and is_public(address)


ANYWHERE = Reach(public=True, networks=(IPv4Network("0.0.0.0/0"), IPv6Network("::/0")))


def is_public(address: Address) -> bool:
    """Whether an address is one of the public Internet's."""
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _NOT_PUBLIC_4)
    return address in _GLOBAL_UNICAST_6 and not any(address in network for network in _NOT_PUBLIC_6)


def parse_networks(text: str) -> tuple[Network, ...]:
    """Networks from text such as `10.0.0.0/8,fd00::/8`. Raises ValueError, which says what would be right."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(","))
    except ValueError:
        raise ValueError("networks such as 10.0.0.0/8,fd00::/8") from None


def address_of(text: str) -> Address | None:
    """The address that a text is, a scope behind % left out; None where it is a name."""
    try:
        return ip_address(text.partition("%")[0])
    except ValueError:
        return None
