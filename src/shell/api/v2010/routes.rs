//! Which paths there are, and which methods each takes: asked before anything is looked up, so that a wrong method gets 405 whatever
//! its path names (RFC 9110 §15.5.6), and who asks finds out what is implemented.

use super::kinds::{KINDS, Kind};

/// Paths below an account that are no settings; `*` is a resource's number.
const CODED: &[(&str, &str)] = &[
    ("Calls", "GET, POST"),
    ("Calls/*", "DELETE, GET, POST"),
    ("Calls/*/Events", "GET"),
    ("Calls/*/Notifications", "GET"),
    ("Calls/*/Notifications/*", "GET"),
    ("Calls/*/Payments", "POST"),
    ("Calls/*/Payments/*", "POST"),
    ("Calls/*/Recordings", "GET, POST"),
    ("Calls/*/Recordings/*", "DELETE, GET, POST"),
    ("Conferences", "GET"),
    ("Conferences/*", "GET, POST"),
    ("Conferences/*/Participants", "GET, POST"),
    ("Conferences/*/Participants/*", "DELETE, GET, POST"),
    ("Conferences/*/Recordings", "GET"),
    ("Conferences/*/Recordings/*", "DELETE, GET, POST"),
    ("IncomingPhoneNumbers/Local", "GET, POST"),
    ("IncomingPhoneNumbers/Mobile", "GET, POST"),
    ("IncomingPhoneNumbers/TollFree", "GET, POST"),
    ("Notifications", "GET"),
    ("Notifications/*", "GET"),
    ("Queues/*/Members", "GET"),
    ("Queues/*/Members/*", "GET, POST"),
    ("Recordings", "GET"),
    ("Recordings/*", "DELETE, GET"),
];

fn fits<'a>(mut pattern: impl Iterator<Item = &'a str>, segments: &[&str]) -> bool {
    segments.iter().all(|s| pattern.next().is_some_and(|p| p == "*" || p == *s)) && pattern.next().is_none()
}

/// The methods of a path below an account, as `Allow` names them; `None`: there is no such path.
pub fn methods(segments: &[&str]) -> Option<&'static str> {
    if segments.is_empty() {
        return Some("GET, POST");
    }
    let coded = CODED.iter().find(|(path, _)| fits(path.split('/'), segments)).map(|(_, methods)| *methods);
    coded.or_else(|| methods_in(KINDS, segments))
}

/// The same of the kinds of a table.
pub fn methods_in(kinds: &[Kind], segments: &[&str]) -> Option<&'static str> {
    kinds.iter().find_map(|kind| {
        let one = kind.path.iter().copied().chain(["*"]);
        match () {
            () if fits(kind.path.iter().copied(), segments) => Some("GET, POST"),
            () if !fits(one, segments) => None,
            () if kind.can_update => Some("DELETE, GET, POST"),
            () => Some("DELETE, GET"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_say_which_methods_they_take() {
        let rows = [
            ("Calls", Some("GET, POST")),
            ("Calls/CA0/Events", Some("GET")),
            ("Queues", Some("GET, POST")),
            ("Queues/QU0", Some("DELETE, GET, POST")),
            ("SIP/Domains/SD0/Auth/Calls/CredentialListMappings/CL0", Some("DELETE, GET")),
            ("SIP/Domains/SD0/Auth", None),
            ("Calls/CA0/Nothing", None),
            ("Calls/CA0/Events/x", None),
            ("Nothing", None),
        ];
        for (path, allowed) in rows {
            let segments: Vec<&str> = path.split('/').collect();
            assert_eq!(methods(&segments), allowed, "{path}");
        }
        assert_eq!(methods(&[]), Some("GET, POST"));
    }
}
