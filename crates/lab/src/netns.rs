//! Hosts on a network of their own, where packets can be lost and routes can go: namespaces of the kernel, each wired
//! to a router in another one.
//!
//! They have no names and no entry in any directory. Each lives as long as this process holds it or a process runs in
//! it, so nothing is left behind however a test ends. It takes root.
//!
//! Nothing here touches the machine's own network: the addresses (10.77.0.0/16 and `fd77::/16`) exist inside only, and
//! nothing leads in or out. To talk to a host one has to be on another: see [`Host::run`].

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd as _;
use std::panic::resume_unwind;
use std::process::{Command, id};
use std::sync::Arc;
use std::thread;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, setns, unshare};
use tempfile::NamedTempFile;

use crate::process::find_program;

/// The interface of each host.
const INTERFACE: &str = "eth0";

/// A router and the hosts that are wired to it. It goes with the last of its hosts.
#[derive(Debug)]
pub struct Network {
    wiring: Arc<Wiring>,
    hosts: u8,
}

/// What all hosts of a network share.
#[derive(Debug)]
struct Wiring {
    router: Namespace,
    /// What they have for `/etc/hosts`.
    names: NamedTempFile,
}

/// One host of a [`Network`]. It has addresses, a route to all other hosts, and a name that they know.
#[derive(Debug)]
pub struct Host {
    number: u8,
    namespace: Namespace,
    wiring: Arc<Wiring>,
}

impl Default for Network {
    fn default() -> Self {
        Self::new()
    }
}

impl Network {
    /// A network without hosts.
    ///
    /// # Panics
    ///
    /// Without the right to make namespaces (root has it), or when `ip` of iproute2 is not installed.
    pub fn new() -> Self {
        let router = Namespace::new();
        router.run(|| {
            ip("link set lo up");
            // The last resort for a host whose link is down: its packets vanish, and nobody is told.
            ip("route add blackhole 10.77.0.0/16");
            ip("-6 route add blackhole fd77::/16");
            set("ipv4/ip_forward", "1");
            set("ipv6/conf/all/forwarding", "1");
            // Else it says nothing for a second, to learn whether others have its addresses.
            set("ipv6/conf/default/accept_dad", "0");
        });
        let mut names = NamedTempFile::new().expect("a writable temporary directory");
        writeln!(names, "127.0.0.1 localhost\n::1 localhost").expect("the file is ours");
        Self { wiring: Arc::new(Wiring { router, names }), hosts: 0 }
    }

    /// Another host, which the others know by `name`.
    ///
    /// # Panics
    ///
    /// When the kernel refuses, or there are 254 already.
    pub fn host(&mut self, name: &str) -> Host {
        self.hosts = self.hosts.checked_add(1).filter(|number| *number < u8::MAX).expect("a free number");
        let host = Host { number: self.hosts, namespace: Namespace::new(), wiring: self.wiring.clone() };
        let mut names =
            File::options().append(true).open(self.wiring.names.path()).expect("the file is ours");
        writeln!(names, "{} {name}", host.address()).expect("the file is ours");
        let (port, number) = (host.port(), host.number);
        self.wiring.router.run(|| {
            let cable = format!("link add {port} type veth peer name {INTERFACE} netns");
            ip(&format!("{cable} {}", host.namespace.path()));
            set(&format!("ipv6/conf/{port}/keep_addr_on_down"), "1");
            ip(&format!("addr add 10.77.{number}.1/24 dev {port}"));
            ip(&format!("-6 addr add fd77:{number:x}::1/64 dev {port} nodad"));
            ip(&format!("link set {port} up"));
        });
        host.namespace.run(|| {
            ip("link set lo up");
            set(&format!("ipv6/conf/{INTERFACE}/keep_addr_on_down"), "1");
            set(&format!("ipv6/conf/{INTERFACE}/accept_dad"), "0");
            ip(&format!("addr add {}/24 dev {INTERFACE}", host.address()));
            ip(&format!("-6 addr add {}/64 dev {INTERFACE} nodad", host.address_v6()));
        });
        host.raise_interface();
        host
    }
}

impl Host {
    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, 2)
    }

    /// Its address in the longer kind.
    pub fn address_v6(&self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, self.number.into(), 0, 0, 0, 0, 0, 2)
    }

    /// Does `work` on this host: whatever it connects, listens on or starts is there, and stays there.
    ///
    /// A panic in `work` goes on here.
    ///
    /// # Panics
    ///
    /// When the kernel does not let this thread in.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.namespace.run(|| {
            self.wiring.show_names();
            work()
        })
    }

    /// Makes the host vanish from the network: its packets and those to it are lost, and nobody is told.
    pub fn vanish(&self) {
        self.wiring.router.run(|| ip(&format!("link set {} down", self.port())));
    }

    /// Ends [`Host::vanish`].
    pub fn reappear(&self) {
        self.wiring.router.run(|| ip(&format!("link set {} up", self.port())));
    }

    /// Takes the host's own interface down: no connection can even be begun from it ("network is unreachable").
    pub fn lower_interface(&self) {
        self.namespace.run(|| ip(&format!("link set {INTERFACE} down")));
    }

    /// Ends [`Host::lower_interface`].
    pub fn raise_interface(&self) {
        self.namespace.run(|| ip(&format!("link set {INTERFACE} up")));
        self.regain_routes();
    }

    /// Takes all routes to other hosts away; the interface stays ("network is unreachable").
    pub fn lose_routes(&self) {
        self.namespace.run(|| {
            ip("route del default");
            ip("-6 route del default");
        });
    }

    /// Ends [`Host::lose_routes`].
    pub fn regain_routes(&self) {
        self.namespace.run(|| {
            ip(&format!("route add default via 10.77.{}.1", self.number));
            ip(&format!("-6 route add default via fd77:{:x}::1", self.number));
        });
    }

    /// Takes the route to one other host away ("no route to host").
    pub fn lose_route_to(&self, other: &Self) {
        for address in other.addresses() {
            self.namespace.run(|| ip(&format!("route add unreachable {address}")));
        }
    }

    /// Ends [`Host::lose_route_to`].
    pub fn regain_route_to(&self, other: &Self) {
        for address in other.addresses() {
            self.namespace.run(|| ip(&format!("route del unreachable {address}")));
        }
    }

    fn addresses(&self) -> [IpAddr; 2] {
        [self.address().into(), self.address_v6().into()]
    }

    /// The router's end of the cable.
    fn port(&self) -> String {
        format!("port{}", self.number)
    }
}

impl Wiring {
    /// Shows this thread, and what it starts, the hosts' names instead of the machine's.
    fn show_names(&self) {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).expect("root may have mounts of its own");
        // Else the next one would be everybody's.
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).expect("our own mounts");
        mount(Some(self.names.path()), "/etc/hosts", none, MsFlags::MS_BIND, none).expect("our own mounts");
    }
}

/// A network namespace, which lasts as long as this.
#[derive(Debug)]
struct Namespace {
    handle: File,
}

impl Namespace {
    fn new() -> Self {
        // A thread of its own is in it first, and gone when the handle is there.
        let inside = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("making a network namespace takes root");
            File::open("/proc/thread-self/ns/net").expect("every thread has one")
        });
        Self { handle: inside.join().unwrap_or_else(|panic| resume_unwind(panic)) }
    }

    /// Where other processes find it.
    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", id(), self.handle.as_raw_fd())
    }

    /// Does `work` in it, on a thread of its own: a thread is in one namespace, and its children are born there.
    fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        thread::scope(|scope| {
            let inside = scope.spawn(|| {
                setns(&self.handle, CloneFlags::CLONE_NEWNET).expect("root may enter its namespace");
                work()
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }
}

/// Runs `ip` where this thread is.
fn ip(words: &str) {
    let output = Command::new(find_program("ip", "iproute2")).args(words.split_whitespace()).output();
    let output = output.expect("`ip` runs");
    assert!(output.status.success(), "`ip {words}`: {}", String::from_utf8_lossy(&output.stderr).trim_end());
}

/// Sets one of the kernel's settings where this thread is.
fn set(name: &str, value: &str) {
    let file = format!("/proc/sys/net/{name}");
    fs::write(&file, value).unwrap_or_else(|error| panic!("cannot write {file}: {error}"));
}
