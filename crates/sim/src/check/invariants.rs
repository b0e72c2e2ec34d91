//! The names of all that must hold, and what each says. It checks nothing.

/// One that is checked, for the table in docs/testing.md.
#[derive(Clone, Copy, Debug)]
pub struct Invariant {
    /// Its name.
    pub name: &'static str,
    /// What must hold.
    pub what: &'static str,
}

/// All that are checked.
pub const INVARIANTS: &[Invariant] = &[
    Invariant {
        name: "one-master-per-epoch",
        what: "epochs only grow, and each has one intent and one master, the one that was meant",
    },
    Invariant {
        name: "each-change-is-told-once",
        what: "each epoch that ends has one entry in the history, of the node that was published or meant, written in \
               that transaction; and so has what is counted of a node that came back",
    },
    Invariant { name: "fenced-commit", what: "only who holds the lock writes the record" },
    Invariant {
        name: "commands-only-in-the-lead",
        what: "who commands a node holds the lock as it sends; also while ZooKeeper is away",
    },
    Invariant {
        name: "fenced-commands",
        what: "no node carries out a command of a leader after one of a later term's, or after such a leader has read \
               there what it acts upon",
    },
    Invariant {
        name: "a-quorum-found-the-leader-gone",
        what: "a leader's lock is removed only if a majority of the registered monitors said in its term that it is \
               gone",
    },
    Invariant {
        name: "made-master-in-an-epoch",
        what: "a node is promoted only as the intent of an open epoch",
    },
    Invariant { name: "evidence-is-of-frozen-nodes", what: "an epoch is opened on what frozen nodes said" },
    Invariant {
        name: "the-best-is-chosen",
        what: "no other node that was frozen, in its run and with a known history, has acknowledged writes that the \
               chosen one lacks",
    },
    Invariant {
        name: "who-may-hold-more-is-waited-for",
        what: "a node that was restarted or left behind does not lead while a missing one holds, in memory or on its \
               disk, acknowledged writes that it lacks",
    },
    Invariant {
        name: "published-is-promoted",
        what: "a published master is one, in the intended run and with the intended history",
    },
    Invariant {
        name: "closed-until-published",
        what: "a promoted node takes no write before it is published, and is not told to",
    },
    Invariant { name: "follow-only-the-published", what: "no node is pointed at one that is not published" },
    Invariant {
        name: "closes-when-cut-off",
        what: "a master that a leader has fenced takes no write 4 s after it heard of a replica last",
    },
    Invariant {
        name: "let-go-on-alone",
        what: "a published master that has lost its last replica takes writes again within 5 s, while nothing hinders \
               its leader",
    },
    Invariant {
        name: "recorded-before-lowered",
        what: "no master is told to take writes without replicas before the record says so",
    },
    Invariant {
        name: "who-was-left-does-not-lead",
        what: "while a master that was let go on alone is missing, or is back with keys under a name that is not \
               recorded, nobody leads who lacks what it took alone; nor who was not there when it was chosen",
    },
    Invariant {
        name: "counted-before-replaced",
        what: "no node that held writes which the master lacks when the leader looked at it is sent there before the \
               record tells of them",
    },
    Invariant {
        name: "one-copy-at-a-time",
        what: "no node is told to take a full copy while `parallel_syncs` others of its host were told so or take one",
    },
    Invariant {
        name: "a-quorum-found-it-down",
        what: "a master is replaced only if a majority of the registered monitors lately found it down, or if it is \
               not what was published",
    },
    Invariant {
        name: "one-crash-loses-nothing",
        what: "one crash at a time, of a process or a host, with replication caught up and a monitor that leads, loses \
               no acknowledged write",
    },
    Invariant {
        name: "who-leaves-begins-nothing-new",
        what: "a monitor that leaves others behind begins nothing any more, and the last one no change of master: it \
               only ends a switchover whose master has given up its role",
    },
    Invariant {
        name: "who-leaves-is-gone-in-time",
        what: "a monitor that leaves is gone after 5 s of its own time, unless it stands still",
    },
    Invariant {
        name: "a-group-is-left-in-order",
        what: "where nothing hinders the last one that leaves, the master takes writes without replicas, by its file, \
               too, all follow it, and the record says that it may go on without them",
    },
    Invariant {
        name: "what-is-left-is-named",
        what: "who leaves last, and does not say that something is left, has given the master's number back, in its \
               file, too, and recorded it",
    },
    Invariant {
        name: "a-switchover-alone-loses-nothing",
        what: "a switchover that no fault befell since it was asked for loses no acknowledged write",
    },
    Invariant {
        name: "a-switchover-alone-ends-in-time",
        what: "it is answered within its time and a moment, and then the published master takes writes",
    },
    Invariant {
        name: "cedes-when-all-is-there",
        what: "a master that holds writes gives up its role only when the wanted node has all from before that",
    },
    Invariant {
        name: "who-takes-over-has-all",
        what: "an epoch is opened for a switchover only for a node that holds exactly what the master held when it \
               gave up its role; where it fails before that, the old master leads on if it is reached",
    },
    Invariant {
        name: "cut-off-before-it-leads-again",
        what: "a master that gave up its role leads again only when the clients that it had are cut off, or a WAIT of \
               theirs might be answered in another history",
    },
    Invariant {
        name: "who-was-named-takes-over",
        what: "a failover that no quorum asks for ends in an epoch of whom an operator named, or of the old master; \
               what comes after an epoch of it that failed, too",
    },
    Invariant {
        name: "done-when-it-takes-writes",
        what: "who asks for a switchover or a failover is told that it is done only once the new master was opened",
    },
    Invariant {
        name: "who-is-not-to-lead-does-not",
        what: "a node that is drained, or never to lead, takes over only where an operator named it whatever is lost",
    },
    Invariant {
        name: "a-pause-begins-no-change",
        what: "in a group that is paused no leader freezes nodes while the published master is what was published",
    },
    Invariant { name: "executed-once", what: "no write is executed twice" },
    Invariant { name: "client-epoch-grows", what: "a client never goes back to an older document" },
    Invariant { name: "predecessor-reads-it", what: "the document has the predecessor's keys in its format" },
    Invariant { name: "record-is-readable", what: "the record can be read" },
    Invariant {
        name: "liveness",
        what: "within 60 s of the last fault a master is published and takes writes, all follow it, and it would close \
               without them",
    },
];
