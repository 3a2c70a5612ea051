// Copyright (C) 2026 The livetorrent authors
//
// This Source Code Form is subject to the terms of the Mozilla Public License, v2.0.
// If a copy of the MPL was not distributed with this file, You can obtain one at
// <https://mozilla.org/MPL/2.0/>.
//
// SPDX-License-Identifier: MPL-2.0

//! Asking a router for a port of its own: UPnP's Internet Gateway Device, found by SSDP and spoken to in
//! SOAP (UPnP Device Architecture 1.0, WANIPConnection:1).
//!
//! What comes is not read as XML: of a service's description and of an answer a few elements count,
//! which routers write plainly, and whatever else is there costs nothing but its length.

use std::{
    fmt::Write as _,
    net::{Ipv4Addr, SocketAddr},
};

use super::port_control::is_address;

/// Where everybody is asked.
pub const GROUP: Ipv4Addr = Ipv4Addr::new(239, 255, 255, 250);
/// Where devices listen.
pub const PORT: u16 = 1900;
/// Bytes of an answer to a search that are read.
pub const MAX_DATAGRAM: usize = 1500;
/// Bytes of a description or an answer that are read; those of routers have 3 to 20 thousand.
pub const MAX_BODY: usize = 128 * 1024;

/// Asks for routers.
pub const SEARCH: &str = "M-SEARCH * HTTP/1.1\r\n\
    HOST: 239.255.255.250:1900\r\n\
    MAN: \"ssdp:discover\"\r\n\
    MX: 1\r\n\
    ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n";

/// Services that map ports, all with the same actions.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];
/// The port outside is somebody else's (WANIPConnection:1 section 2.4.16).
pub const CONFLICT: u16 = 718;
/// A mapping cannot end by itself there.
pub const ONLY_PERMANENT: u16 = 725;

/// Where a device describes itself: an address, and the path there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// The device's.
    pub address: SocketAddr,
    /// From the slash on.
    pub path: String,
}

/// What maps ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// One of those we know.
    pub kind: &'static str,
    /// Where it takes orders.
    pub control: Location,
}

impl Location {
    /// Reads the answer of the device at `from` to [`SEARCH`]. It speaks for itself only: an address of
    /// somebody else's is none.
    #[must_use]
    pub fn of_answer(datagram: &[u8], from: SocketAddr) -> Option<Self> {
        let text = std::str::from_utf8(datagram).ok()?;
        let mut headers = text.lines().filter_map(|line| line.split_once(':'));
        let is_location = |name: &str| name.trim().eq_ignore_ascii_case("location");
        let (_, url) = headers.find(|(name, _)| is_location(name))?;
        let location = Self::of_url(url.trim())?;
        (location.address.ip() == from.ip()).then_some(location)
    }

    fn of_url(url: &str) -> Option<Self> {
        let rest = url.strip_prefix("http://")?;
        let (host, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, "/"),
        };
        let address: SocketAddr = match host.parse() {
            Ok(address) => address,
            Err(_) => (host.parse::<Ipv4Addr>().ok()?, 80).into(),
        };
        (address.port() != 0 && is_path(path)).then(|| Self {
            address,
            path: path.to_owned(),
        })
    }

    /// What `reference` in the description means; only what is at the same address.
    fn join(&self, reference: &str) -> Option<Self> {
        if reference.contains("://") {
            return Self::of_url(reference).filter(|other| other.address.ip() == self.address.ip());
        }
        let slash = if reference.starts_with('/') { "" } else { "/" };
        let path = format!("{slash}{reference}");
        is_path(&path).then_some(Self {
            address: self.address,
            path,
        })
    }

    /// As a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}{}", self.address, self.path)
    }
}

/// What needs no escape in a URL, and ends no line.
fn is_path(path: &str) -> bool {
    path.bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"\"<>#".contains(&byte))
}

impl Service {
    /// Finds one in the description that stands at `location`.
    #[must_use]
    pub fn of_description(description: &str, location: &Location) -> Option<Self> {
        description.split("<service>").skip(1).find_map(|service| {
            let service = service.split("</service>").next()?;
            let named = element(service, "serviceType")?;
            let kind = SERVICES.into_iter().find(|kind| *kind == named)?;
            let control = location.join(element(service, "controlURL")?)?;
            Some(Self { kind, control })
        })
    }

    /// The header that goes with an action.
    #[must_use]
    pub fn header(&self, action: &str) -> String {
        format!("\"{}#{action}\"", self.kind)
    }

    /// Asks for the router's address.
    #[must_use]
    pub fn ask_address(&self) -> String {
        self.order("GetExternalIPAddress", &[])
    }

    /// Asks for a port, for so many seconds; 0: until it is given back.
    #[must_use]
    pub fn add(&self, external: u16, client: Ipv4Addr, internal: u16, lifetime: u32) -> String {
        self.order(
            "AddPortMapping",
            &[
                ("NewRemoteHost", ""),
                ("NewExternalPort", &external.to_string()),
                ("NewProtocol", "TCP"),
                ("NewInternalPort", &internal.to_string()),
                ("NewInternalClient", &client.to_string()),
                ("NewEnabled", "1"),
                ("NewPortMappingDescription", "livetorrent"),
                ("NewLeaseDuration", &lifetime.to_string()),
            ],
        )
    }

    /// Gives a port back.
    #[must_use]
    pub fn delete(&self, external: u16) -> String {
        self.order(
            "DeletePortMapping",
            &[
                ("NewRemoteHost", ""),
                ("NewExternalPort", &external.to_string()),
                ("NewProtocol", "TCP"),
            ],
        )
    }

    /// Nothing in it needs an escape.
    fn order(&self, action: &str, arguments: &[(&str, &str)]) -> String {
        let mut body = format!(
            "<?xml version=\"1.0\"?>\r\n\
             <s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body>\
             <u:{action} xmlns:u=\"{}\">",
            self.kind
        );
        for (name, value) in arguments {
            let _ = write!(body, "<{name}>{value}</{name}>");
        }
        let _ = write!(body, "</u:{action}></s:Body></s:Envelope>\r\n");
        body
    }
}

/// The router's address in its answer.
#[must_use]
pub fn address(answer: &str) -> Option<Ipv4Addr> {
    let address = element(answer, "NewExternalIPAddress")?.parse().ok()?;
    is_address(address).then_some(address)
}

/// Why it does not want to.
#[must_use]
pub fn error(answer: &str) -> Option<u16> {
    element(answer, "errorCode")?.parse().ok()
}

/// The text of the first element of this name that has no attributes.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let open = format!("<{name}>");
    let (_, rest) = text.split_once(&open)?;
    let (inside, _) = rest.split_once('<')?;
    Some(inside.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    const DESCRIPTION: &str = "<?xml version=\"1.0\"?><root xmlns=\"urn:schemas-upnp-org:device-1-0\">\
        <device><deviceList><device><serviceList>\
        <service><serviceType>urn:schemas-upnp-org:service:Layer3Forwarding:1</serviceType>\
        <controlURL>/ctl/L3F</controlURL></service>\
        <service>\n<serviceType>urn:schemas-upnp-org:service:WANIPConnection:2</serviceType>\n\
        <SCPDURL>/WANIPCn.xml</SCPDURL><controlURL> ctl/IPConn?a=1 </controlURL></service>\
        </serviceList></device></deviceList></device></root>";

    fn location() -> Location {
        Location {
            address: "192.168.1.1:5000".parse().unwrap(),
            path: "/root.xml".into(),
        }
    }

    #[test]
    fn a_device_speaks_for_itself_only() {
        let answer = b"HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\n\
            LOCATION: http://192.168.1.1:5000/root.xml\r\n\r\n";
        let read = |from: &str| Location::of_answer(answer, from.parse().unwrap());
        assert_eq!(read("192.168.1.1:1900"), Some(location()));
        assert_eq!(read("192.168.1.2:1900"), None);
        for url in [
            "https://192.168.1.1:1/",
            "http://router:1/",
            "http://192.168.1.1:0/",
            "http://192.168.1.1:1/a b",
            "http://user@192.168.1.1:1/",
        ] {
            assert_eq!(Location::of_url(url), None, "{url}");
        }
        let bare = Location::of_url("http://192.168.1.1").unwrap();
        assert_eq!(bare.url(), "http://192.168.1.1:80/");
    }

    #[test]
    fn the_service_that_maps_ports_is_found() {
        let service = Service::of_description(DESCRIPTION, &location()).unwrap();
        assert_eq!(service.kind, SERVICES[1]);
        assert_eq!(
            service.control.url(),
            "http://192.168.1.1:5000/ctl/IPConn?a=1"
        );
        let away = DESCRIPTION.replace(" ctl/", "http://192.0.2.1/");
        assert_eq!(Service::of_description(&away, &location()), None);
        let near = DESCRIPTION.replace(" ctl/", "http://192.168.1.1:49152/");
        let service = Service::of_description(&near, &location()).unwrap();
        assert_eq!(service.control.address.port(), 49152);
    }

    #[test]
    fn orders_name_action_and_arguments() {
        let service = Service::of_description(DESCRIPTION, &location()).unwrap();
        let header = service.header("AddPortMapping");
        assert_eq!(header, format!("\"{}#AddPortMapping\"", SERVICES[1]));
        let order = service.add(1, Ipv4Addr::new(192, 168, 1, 7), 2, 1200);
        for part in [
            "<u:AddPortMapping xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:2\">",
            "<NewRemoteHost></NewRemoteHost><NewExternalPort>1</NewExternalPort>",
            "<NewInternalPort>2</NewInternalPort><NewInternalClient>192.168.1.7</NewInternalClient>",
            "<NewLeaseDuration>1200</NewLeaseDuration></u:AddPortMapping>",
        ] {
            assert!(order.contains(part), "{part}: {order}");
        }
        assert!(service.delete(1).contains("<NewExternalPort>1<"));
        assert!(service.ask_address().contains("<u:GetExternalIPAddress "));
    }

    #[test]
    fn answers_are_read() {
        let answer = "<a><NewExternalIPAddress>203.0.113.9</NewExternalIPAddress></a>";
        assert_eq!(address(answer), Some(Ipv4Addr::new(203, 0, 113, 9)));
        let none = "<NewExternalIPAddress></NewExternalIPAddress>";
        assert_eq!(address(none), None);
        assert_eq!(
            error("<UPnPError><errorCode>718</errorCode>"),
            Some(CONFLICT)
        );
        assert_eq!(error("<errorCode>718"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(datagram: Vec<u8>, text: String) {
            let _ = Location::of_answer(&datagram, location().address);
            let _ = Service::of_description(&text, &location());
            let _ = (address(&text), error(&text));
        }
    }
}
