//! Whose address it is. Decides which address stands for a client that comes through a proxy, and which addresses are one
//! host's; believes nobody but the proxies of the configuration. Asked by `accept` and `door`.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use axum::http::HeaderMap;

/// The bits of an IPv6 address that name a network: one host has all the others for itself.
const SITE_BITS: u32 = 64;

/// A host, as far as limits are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Host(IpAddr);

impl Host {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V6(v6) => Host(IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask(SITE_BITS, 128)))),
            v4 @ IpAddr::V4(_) => Host(v4),
        }
    }
}

/// An address, or a network as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let differ = u128::from(own.to_bits() ^ other.to_bits());
                differ & mask(self.bits, 32) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()) & mask(self.bits, 128) == 0
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }
}

/// The first `bits` of `all`.
fn mask(bits: u32, all: u32) -> u128 {
    let ones = u128::MAX >> (128 - all);
    ones & !ones.checked_shr(bits).unwrap_or(0)
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let bad = || format!("{text} is no address and no network such as 10.0.0.0/8");
        let address: IpAddr = address.parse().map_err(|_| bad())?;
        let all = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(all), str::parse).map_err(|_| bad())?;
        if bits > all { Err(bad()) } else { Ok(Network { address, bits }) }
    }
}

/// Who asks: the peer, or, if that is a trusted proxy, the last address in `X-Forwarded-For` that is none. Whatever stands
/// before it anybody may have written.
pub(crate) fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
    if !is_trusted(peer) {
        return peer;
    }
    let lines: Vec<_> = headers.get_all("x-forwarded-for").into_iter().collect();
    let hops = lines.iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut last = peer;
    for hop in hops {
        // What cannot be read ends the chain: the proxy before it answers for the rest.
        let Ok(address) = hop.trim().parse::<IpAddr>() else { return last };
        if !is_trusted(address) {
            return address;
        }
        last = address;
    }
    last
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn behind(peer: &str, forwarded: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8", "::1", "127.0.0.1"].map(|network| network.parse().unwrap());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().unwrap());
        }
        client(address(peer), &headers, &trusted).to_string()
    }

    #[test]
    fn only_a_trusted_proxy_says_for_whom_it_asks() {
        assert_eq!(behind("203.0.113.7", &["198.51.100.1"]), "203.0.113.7");
        assert_eq!(behind("10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(behind("::ffff:10.1.2.3", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(behind("10.1.2.3", &[]), "10.1.2.3");
    }

    #[test]
    fn what_a_client_writes_in_front_is_not_believed() {
        assert_eq!(behind("10.1.2.3", &["1.2.3.4, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(behind("10.1.2.3", &["1.2.3.4", "198.51.100.1, 10.9.9.9"]), "198.51.100.1");
        assert_eq!(behind("10.1.2.3", &["1.2.3.4, nonsense, 10.9.9.9"]), "10.9.9.9");
        assert_eq!(behind("127.0.0.1", &["nonsense"]), "127.0.0.1");
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_others() {
        let holds = |network: &str, other: &str| network.parse::<Network>().unwrap().contains(address(other));
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("0.0.0.0/0", "1.2.3.4") && !holds("0.0.0.0/0", "::1"));
        assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.0"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("2001:db8::/32", "2001:db9::1"));
        for bad in ["", "10.0.0.0/33", "::/129", "host", "10.0.0.0/", "10.0.0.0/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_addresses_of_one_host_are_one() {
        let host = |text: &str| Host::of(address(text));
        assert_eq!(host("::ffff:192.0.2.1"), host("192.0.2.1"));
        assert_eq!(host("2001:db8:0:1::1"), host("2001:db8:0:1:ffff::2"));
        assert_ne!(host("2001:db8:0:1::1"), host("2001:db8:0:2::1"));
        assert_ne!(host("192.0.2.1"), host("192.0.2.2"));
    }
}
