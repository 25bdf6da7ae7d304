//! Claims on a real link: two network namespaces with a veth pair between them.
//!
//! Each test starts itself again inside namespaces of its own (`unshare`), where it is root, and so
//! leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use address::{ClaimError, Interface, InterfaceAddress, VirtualAddresses, set_up};

const INSIDE: &str = "TWINMAIL_TEST_INSIDE";
const WAIT: Duration = Duration::from_millis(150);

/// The neighbour's namespace: a process that holds it open.
struct Neighbour(Child);

impl Drop for Neighbour {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Neighbour {
    /// Makes the namespace and a veth pair: `public` here, `far` there.
    fn new() -> Self {
        let child =
            Command::new("unshare").args(["-n", "sleep", "600"]).stdin(Stdio::null()).spawn().unwrap();
        let neighbour = Self(child);
        let own = std::fs::read_link("/proc/self/ns/net").unwrap();
        let theirs = format!("/proc/{}/ns/net", neighbour.0.id());
        let deadline = Instant::now() + Duration::from_mins(1);
        while std::fs::read_link(&theirs).ok().is_none_or(|link| link == own) {
            assert!(Instant::now() < deadline, "no second namespace");
            std::thread::sleep(Duration::from_millis(10));
        }
        run("ip", "link add public type veth peer name far");
        run("ip", &format!("link set far netns {}", neighbour.0.id()));
        set_up(&Interface::find("public").unwrap()).unwrap();
        neighbour.ip("link set far up");
        neighbour.ip("addr add 10.77.0.1/24 dev far");
        neighbour.ip("addr add fd77::1/64 dev far nodad");
        while !Interface::find("public").unwrap().has_carrier() {
            assert!(Instant::now() < deadline, "no carrier");
            std::thread::sleep(Duration::from_millis(10));
        }
        // A solicitation needs the interface's own IPv6 to have come up on the far side: it has an address
        // of its own then.
        while !neighbour.ip("-6 addr show dev far").contains("inet6 fe80:") && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        std::thread::sleep(Duration::from_millis(200));
        neighbour
    }

    fn ip(&self, arguments: &str) -> String {
        run("nsenter", &format!("-t {} -n ip {arguments}", self.0.id()))
    }

    fn lladdr(&self, address: &str) -> String {
        self.ip(&format!("neigh show {address} dev far"))
    }
}

fn run(program: &str, arguments: &str) -> String {
    let output = Command::new(program).args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "{program} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Runs `body` in namespaces of its own.
fn inside(test: &str, body: fn()) {
    if std::env::var(INSIDE).is_ok_and(|name| name == test) {
        return body();
    }
    let output = Command::new("unshare")
        .args([
            "--user",
            "--map-root-user",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "sh",
            "-c",
        ])
        .arg("mount -t sysfs none /sys && mount -t proc none /proc && exec \"$@\"")
        .arg("sh")
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, test)
        .output()
        .unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "(needs root or user namespaces)\n{said}");
    assert!(said.contains("1 passed"), "{said}");
}

fn addresses() -> [InterfaceAddress; 2] {
    let of = |text: &str, prefix| InterfaceAddress { address: text.parse().unwrap(), prefix };
    [of("10.77.0.10", 24), of("fd77::10", 64)]
}

/// Whether one of the addresses is on the card. (Its own Ethernet address is drawn at random.)
fn any_here() -> bool {
    let shown = run("ip", "addr show dev public");
    shown.contains(" 10.77.0.10/") || shown.contains(" fd77::10/")
}

fn virtual_addresses() -> VirtualAddresses {
    VirtualAddresses::new(Interface::find("public").unwrap(), &addresses()).unwrap()
}

#[test]
fn a_claim_moves_the_address_to_this_box_in_every_neighbours_cache() {
    inside("a_claim_moves_the_address_to_this_box_in_every_neighbours_cache", || {
        let neighbour = Neighbour::new();
        for address in ["10.77.0.10", "fd77::10"] {
            neighbour.ip(&format!("neigh replace {address} lladdr 02:00:00:00:00:99 dev far nud reachable"));
        }
        let mac = Interface::find("public").unwrap().mac().to_string();
        let mut claimed = virtual_addresses();
        let began = Instant::now();
        claimed.claim(WAIT).unwrap();
        let took = began.elapsed();
        println!("claimed in {} ms", took.as_millis());
        assert!(took >= WAIT && claimed.all_here());
        claimed.claim(WAIT).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        while !["10.77.0.10", "fd77::10"].iter().all(|address| neighbour.lladdr(address).contains(&mac)) {
            assert!(Instant::now() < deadline, "{}", neighbour.lladdr("10.77.0.10"));
            assert!(claimed.tick().unwrap().is_empty());
        }
        // It answers at once, also over IPv6, without the kernel's own second of waiting.
        let shown = run("ip", "addr show dev public");
        assert!(shown.contains("10.77.0.10/24") && shown.contains("fd77::10/64"), "{shown}");
        assert!(!shown.contains("fd77::10/64 scope global tentative"), "{shown}");
        claimed.release().unwrap();
        claimed.release().unwrap();
        assert!(!any_here(), "still there");
        claimed.ask(WAIT).unwrap();
        assert!(!any_here(), "asked for, not claimed");
        claimed.claim(WAIT).unwrap();
        assert!(claimed.all_here() && any_here());
    });
}

#[test]
fn an_address_in_use_is_not_taken_and_its_user_is_named() {
    inside("an_address_in_use_is_not_taken_and_its_user_is_named", || {
        let neighbour = Neighbour::new();
        for (address, command) in [("10.77.0.10", "10.77.0.10/24"), ("fd77::10", "fd77::10/64")] {
            let nodad = if address.contains(':') { " nodad" } else { "" };
            neighbour.ip(&format!("addr add {command} dev far{nodad}"));
            let far = neighbour.ip("link show dev far");
            let mut claimed = virtual_addresses();
            // Who answers ahead is not forgotten.
            claimed.ask(WAIT).unwrap();
            // A starved machine may answer late; the product retries, and so does this.
            let conflict = claimed.claim(Duration::from_secs(3)).unwrap_err();
            let ClaimError::Conflict { address: used, mac } = conflict else { panic!("{conflict}") };
            assert_eq!(used, address.parse::<IpAddr>().unwrap());
            assert!(far.contains(&mac.to_string()), "{far} {mac}");
            assert!(!any_here());
            neighbour.ip(&format!("addr del {command} dev far"));
        }
    });
}

#[test]
fn a_stranger_that_appears_later_is_reported_with_its_mac() {
    inside("a_stranger_that_appears_later_is_reported_with_its_mac", || {
        let neighbour = Neighbour::new();
        let mut claimed = virtual_addresses();
        claimed.claim(WAIT).unwrap();
        let far = neighbour.ip("link show dev far");
        // The neighbour takes the address and speaks with it.
        neighbour.ip("addr del 10.77.0.1/24 dev far");
        neighbour.ip("addr add 10.77.0.10/24 dev far");
        let id = neighbour.0.id().to_string();
        let speak = ["-t", &id, "-n", "bash", "-c", "echo >/dev/udp/10.77.0.99/9"];
        assert!(Command::new("nsenter").args(speak).status().unwrap().success());
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let strangers = claimed.tick().unwrap();
            if let Some(stranger) = strangers.first() {
                assert!(far.contains(&stranger.mac.to_string()), "{stranger:?}");
                assert_eq!(stranger.address, addresses()[0].address);
                break;
            }
            assert!(Instant::now() < deadline, "nobody reported");
            std::thread::sleep(Duration::from_millis(20));
        }
    });
}
