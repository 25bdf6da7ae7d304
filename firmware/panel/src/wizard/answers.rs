//! The answers to set-up, how they are read, and which are suggested.

use std::net::{IpAddr, Ipv4Addr};

use admin::Language;
use control::cluster::{FirstBox, Interface, Lun, SecondBox};
use settings::{check_box_name, check_domain, parse_interface_address};

use super::text::{Text, settings_fault};

/// Most addresses, gateways or name servers in one answer.
pub const LIST_MAX: usize = 8;
/// Name suggested for the first box.
pub const FIRST_NAME: &str = "twinmail-a";
/// Words that lead elsewhere and so cannot be box names.
pub const RESERVED: [&str; 3] = ["back", "join", "first"];

/// The answers so far.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// Name of this box.
    pub box_name: Option<String>,
    /// Its public interface.
    pub public: Interface,
    /// Whether gateway and name server were answered.
    pub routed: bool,
    /// Virtual addresses.
    pub virtual_addresses: Vec<String>,
    /// The LUN, and whether it is to be formatted.
    pub lun: Option<(Lun, bool)>,
    /// Mail domain, in A-labels.
    pub domain: Option<String>,
    /// The administrator's password.
    pub password: Option<String>,
}

impl Answers {
    /// All of the first box, if all are given.
    pub fn first_box(&self, language: Language) -> Option<FirstBox> {
        let (lun, format) = self.lun.as_ref()?;
        Some(FirstBox {
            box_name: self.box_name.clone()?,
            public: self.public.clone(),
            virtual_addresses: self.virtual_addresses.clone(),
            lun: lun.id.clone(),
            format: *format,
            domain: self.domain.clone()?,
            password: self.password.clone()?,
            language: if language == Language::Zh { "zh" } else { "en" }.to_owned(),
        })
    }

    /// All of the second box, if all are given.
    pub fn second_box(&self) -> Option<SecondBox> {
        Some(SecondBox { box_name: self.box_name.clone()?, public: self.public.clone() })
    }

    /// The gateway most networks have: the first address of ours that is not this box's.
    pub fn suggested_gateway(&self) -> Option<IpAddr> {
        if let Some(gateway) = self.public.gateways.first() {
            return Some(*gateway);
        }
        let own = self.public.addresses.iter().filter_map(|text| parse_interface_address(text).ok());
        own.into_iter().find_map(|(address, prefix)| match address {
            IpAddr::V4(address) if (1..=30).contains(&prefix) => {
                let first = Ipv4Addr::from((u32::from(address) & mask_v4(prefix)) + 1);
                (first != address).then_some(IpAddr::V4(first))
            }
            _ => None,
        })
    }
}

fn mask_v4(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

/// Whether `address` is in the network of `own` with `prefix` bits.
fn in_network(own: IpAddr, prefix: u8, address: IpAddr) -> bool {
    match (own, address) {
        (IpAddr::V4(own), IpAddr::V4(address)) => {
            (u32::from(own) ^ u32::from(address)) & mask_v4(prefix) == 0
        }
        (IpAddr::V6(own), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            (u128::from(own) ^ u128::from(address)) & mask == 0
        }
        _ => false,
    }
}

fn list(text: &str, language: Language) -> Result<Vec<&str>, String> {
    let parts: Vec<_> = text.split([' ', ',', ';']).filter(|part| !part.is_empty()).collect();
    for (at, part) in parts.iter().enumerate() {
        if parts.get(..at).is_some_and(|before| before.contains(part)) {
            return Err(Text::Twice.fill(language, &[part]));
        }
    }
    match parts.len() {
        0 => Err(Text::Needed.get(language).to_owned()),
        1..=LIST_MAX => Ok(parts),
        _ => Err(Text::TooMany.fill(language, &[&LIST_MAX])),
    }
}

/// Reads a box name.
pub fn box_name(text: &str, peer: Option<&str>, language: Language) -> Result<String, String> {
    check_box_name(text).map_err(|error| settings_fault(&error, language))?;
    if RESERVED.contains(&text) {
        return Err(Text::NotAnAnswer.fill(language, &[&text]));
    }
    if peer == Some(text) {
        return Err(Text::NameOfPeer.fill(language, &[&text]));
    }
    Ok(text.to_owned())
}

/// Reads addresses with prefix length.
pub fn interface_addresses(text: &str, language: Language) -> Result<Vec<String>, String> {
    let parse = |part: &str| {
        let (address, prefix) =
            parse_interface_address(part).map_err(|error| settings_fault(&error, language))?;
        Ok(format!("{address}/{prefix}"))
    };
    list(text, language)?.into_iter().map(parse).collect()
}

/// Reads virtual addresses; one without prefix length in a network of ours gets that network's.
pub fn virtual_addresses(text: &str, own: &[String], language: Language) -> Result<Vec<String>, String> {
    let own: Vec<_> = own.iter().filter_map(|text| parse_interface_address(text).ok()).collect();
    let parse = |part: &str| {
        let bare: Option<IpAddr> = part.parse().ok();
        let network =
            bare.and_then(|bare| own.iter().find(|(address, prefix)| in_network(*address, *prefix, bare)));
        let full = network.map_or_else(|| part.to_owned(), |(_, prefix)| format!("{part}/{prefix}"));
        let (address, prefix) =
            parse_interface_address(&full).map_err(|error| settings_fault(&error, language))?;
        if own.iter().any(|(mine, _)| *mine == address) {
            return Err(Text::VirtualIsOwn.fill(language, &[&address]));
        }
        Ok(format!("{address}/{prefix}"))
    };
    list(text, language)?.into_iter().map(parse).collect()
}

/// Reads addresses of other machines; `none` is none.
pub fn hosts(text: &str, language: Language) -> Result<Vec<IpAddr>, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(Vec::new());
    }
    let parse = |part: &str| match part.parse::<IpAddr>() {
        Ok(address) if !address.is_unspecified() && !address.is_multicast() => Ok(address),
        _ => Err(Text::BadHost.fill(language, &[&part])),
    };
    list(text, language)?.into_iter().map(parse).collect()
}

/// Reads a mail domain as people write it and gives it in A-labels (RFC 5891).
pub fn domain(text: &str, language: Language) -> Result<String, String> {
    let text = text.trim_end_matches('.');
    let refused = || Text::BadDomain.fill(language, &[&text]);
    let ascii = idna::domain_to_ascii(text).map_err(|_| refused())?;
    check_domain(&ascii).map_err(|_| refused())?;
    Ok(ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EN: Language = Language::En;

    #[test]
    fn the_gateway_suggested_is_the_first_host_of_the_network() {
        let with = |address: &str| Answers {
            public: Interface { addresses: vec![address.to_owned()], ..Interface::default() },
            ..Answers::default()
        };
        let suggested = |address| with(address).suggested_gateway().map(|gateway| gateway.to_string());
        assert_eq!(suggested("10.77.0.11/24").as_deref(), Some("10.77.0.1"));
        assert_eq!(suggested("172.16.5.9/12").as_deref(), Some("172.16.0.1"));
        assert_eq!(suggested("10.77.0.1/24"), None);
        assert_eq!(suggested("fd77::11/64"), None);
    }

    #[test]
    fn a_virtual_address_takes_the_prefix_of_our_network() {
        let own = ["10.77.0.11/24".to_owned(), "fd77::11/64".to_owned()];
        let read = |text| virtual_addresses(text, &own, EN);
        assert_eq!(read("10.77.0.10, fd77::10"), Ok(vec!["10.77.0.10/24".into(), "fd77::10/64".into()]));
        assert_eq!(read("10.78.0.10/16"), Ok(vec!["10.78.0.10/16".into()]));
        assert!(read("10.78.0.10").unwrap_err().contains("prefix length"));
        assert!(read("10.77.0.11").unwrap_err().contains("own address"));
        assert!(read("").is_err() && read("10.77.0.10 10.77.0.10").unwrap_err().contains("twice"));
        assert!(
            read("1.1.1.1/8 2.1.1.1/8 3.1.1.1/8 4.1.1.1/8 5.1.1.1/8 6.1.1.1/8 7.1.1.1/8 8.1.1.1/8 9.1.1.1/8")
                .unwrap_err()
                .contains("at most")
        );
    }

    #[test]
    fn domains_may_be_written_in_chinese() {
        assert_eq!(domain("例子.测试", EN).as_deref(), Ok("xn--fsqu00a.xn--0zwm56d"));
        assert_eq!(domain("Example.COM.", EN).as_deref(), Ok("example.com"));
        for bad in ["", "localhost", "a b.example", "-x.example"] {
            assert!(domain(bad, EN).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_are_addresses_or_none() {
        assert_eq!(hosts("none", EN), Ok(vec![]));
        assert_eq!(hosts("10.77.0.1 fd77::1", EN).map(|list| list.len()), Ok(2));
        assert!(hosts("gateway", EN).is_err() && hosts("0.0.0.0", EN).is_err());
    }

    #[test]
    fn words_that_lead_elsewhere_are_no_names() {
        assert!(box_name("back", None, EN).is_err());
        assert!(box_name("mail-a", Some("mail-a"), EN).is_err());
        assert_eq!(box_name("mail-b", Some("mail-a"), EN).as_deref(), Ok("mail-b"));
    }
}
