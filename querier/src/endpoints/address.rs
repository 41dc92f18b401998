//! Addresses of endpoints as flags and files write them.

use std::fmt;

/// How an address leads to endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lookup {
    /// It is an endpoint.
    Static,
    /// `dns+HOST:PORT`: every IP address of the host.
    Hosts,
    /// `dnssrv+NAME`: every IP address of the targets of the service.
    Services,
    /// `dnssrvnoa+NAME`: the targets of the service by name.
    ServicesByName,
}

/// An address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    /// How it leads to endpoints.
    pub lookup: Lookup,
    /// `HOST:PORT`, or the name of a service.
    pub name: String,
}

impl Address {
    /// Reads an address.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (lookup, name) = match text.split_once('+') {
            // Of hosts with addresses of both kinds both are asked for in any case.
            Some(("dns" | "dnsdualstack", name)) => (Lookup::Hosts, name),
            Some(("dnssrv", name)) => (Lookup::Services, name),
            Some(("dnssrvnoa", name)) => (Lookup::ServicesByName, name),
            Some((scheme, _)) => {
                return Err(format!(
                    "{scheme:?} is not a way to look {text:?} up; use dns+, dnssrv+ or dnssrvnoa+"
                ));
            }
            None => (Lookup::Static, text),
        };
        if let Some((scheme, rest)) = name.split_once("://") {
            let host = rest.split('/').next().unwrap_or_default();
            let tls = match scheme {
                "https" => ", and ask for TLS by --grpc-client-tls-secure",
                _ => "",
            };
            return Err(format!(
                "{text:?} is a URL, but endpoints speak gRPC at an address without a scheme; write \
                 {host:?} with the port of the endpoint's gRPC server, by default 10901{tls}"
            ));
        }
        let needs_port = matches!(lookup, Lookup::Static | Lookup::Hosts);
        let (host, port) = match name.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (name, None),
        };
        if host.is_empty() {
            return Err(format!("{text:?} names no host"));
        }
        match port {
            None if needs_port => return Err(format!("{text:?} has no port; write HOST:PORT")),
            Some(port) if port.parse::<u16>().is_err() => {
                return Err(format!("{port:?} in {text:?} is not a port"));
            }
            _ => {}
        }
        Ok(Self {
            lookup,
            name: name.to_owned(),
        })
    }

    /// Host or service, and port if there is one.
    pub fn parts(&self) -> (&str, Option<u16>) {
        match self.name.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().ok()),
            None => (&self.name, None),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.lookup {
            Lookup::Static => "",
            Lookup::Hosts => "dns+",
            Lookup::Services => "dnssrv+",
            Lookup::ServicesByName => "dnssrvnoa+",
        };
        write!(f, "{scheme}{}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, lookup, parts) in [
            (
                "localhost:10901",
                Lookup::Static,
                ("localhost", Some(10901)),
            ),
            ("[::1]:10901", Lookup::Static, ("[::1]", Some(10901))),
            ("dns+a.b:1", Lookup::Hosts, ("a.b", Some(1))),
            (
                "dnssrv+_grpc._tcp.a",
                Lookup::Services,
                ("_grpc._tcp.a", None),
            ),
            ("dnssrvnoa+a:5", Lookup::ServicesByName, ("a", Some(5))),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.lookup, lookup);
            assert_eq!(address.parts(), parts);
            assert_eq!(address.to_string(), text);
        }
        for text in ["", "a", "dns+a", "a:b", ":1", "x+a:1", "dnssrv+"] {
            assert!(Address::parse(text).is_err(), "{text}");
        }
        for (text, advice) in [
            ("http://a:10902", "write \"a:10902\""),
            ("dns+http://a/x", "write \"a\""),
            ("https://a:1", "--grpc-client-tls-secure"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(advice), "{text}: {error}");
        }
    }
}
