//! What a Redis command may do: read, write, block.
//!
//! The words are Redis's own: the table is what a running server answers to `COMMAND`, written by `cargo xtask docs`.
//! Nothing here guesses: a command that the table does not name, as of a module or a newer server, has no flags, and
//! the caller decides what to make of it. A lookup never allocates, for there is one for every command of a client.

mod index;
mod table;

use table::COMMANDS;
pub use table::SERVER_VERSION;

/// What Redis says of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandFlags {
    access: Access,
    blocking: bool,
    container: bool,
}

/// An enum because no command both only reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// It touches no key, or, as `EVAL`, what it does is known only when it runs.
    Neither,
    Readonly,
    Write,
}

impl CommandFlags {
    const NEITHER: Self = Self { access: Access::Neither, blocking: false, container: false };
    const READONLY: Self = Self { access: Access::Readonly, ..Self::NEITHER };
    const WRITE: Self = Self { access: Access::Write, ..Self::NEITHER };

    /// Whether it only reads keys, so that a replica answers it.
    ///
    /// Not so are commands that touch no key, as `PING`, and those of which nobody knows before they run, as `EVAL`.
    pub fn is_readonly(self) -> bool {
        self.access == Access::Readonly
    }

    /// Whether it is sure to need a master. Not being so does not make it harmless: `EVAL` and `CONFIG SET` are said to
    /// do neither.
    pub fn is_write(self) -> bool {
        self.access == Access::Write
    }

    /// Whether it may keep its client waiting for a key, as `BLPOP`. Redis says it of `WAIT` only since 7.2.
    pub fn is_blocking(self) -> bool {
        self.blocking
    }

    /// Whether its second word says what it does, as of `CONFIG`.
    pub fn is_container(self) -> bool {
        self.container
    }

    const fn blocking(self) -> Self {
        Self { blocking: true, ..self }
    }

    const fn container(self) -> Self {
        Self { container: true, ..self }
    }
}

/// The flags of a command in any case, none if the table does not know it.
///
/// `subcommand` is the second word if there is one; it is looked at only where the command is a container, as
/// `CONFIG`, and for all others may be any argument. A container without a second word has the container's own flags,
/// which say nothing.
pub fn flags_of(name: &[u8], subcommand: Option<&[u8]>) -> Option<CommandFlags> {
    // The table divides words with it; to a server `config|get` is no command.
    if name.contains(&b'|') {
        return None;
    }
    let mut key = Key { bytes: [0; LONGEST], length: 0 };
    key.push(name)?;
    let flags = key.find()?;
    match subcommand {
        Some(subcommand) if flags.container => {
            key.push(b"|")?;
            key.push(subcommand)?;
            key.find()
        }
        _ => Some(flags),
    }
}

/// A name as the table writes it, on the stack.
struct Key {
    bytes: [u8; LONGEST],
    length: usize,
}

impl Key {
    /// Appends in lower case; none if nothing in the table is as long.
    fn push(&mut self, word: &[u8]) -> Option<()> {
        let end = self.length + word.len();
        let place = self.bytes.get_mut(self.length..end)?;
        place.copy_from_slice(word);
        place.make_ascii_lowercase();
        self.length = end;
        Some(())
    }

    fn find(&self) -> Option<CommandFlags> {
        index::find(&self.bytes[..self.length])
    }
}

/// The length of the longest name in the table.
const LONGEST: usize = {
    let mut longest = 0;
    let mut at = 0;
    // Not an iterator: those do not run at compile time.
    while at < COMMANDS.len() {
        if COMMANDS[at].0.len() > longest {
            longest = COMMANDS[at].0.len();
        }
        at += 1;
    }
    longest
};

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(command: &str) -> CommandFlags {
        let (name, subcommand) = match command.split_once(' ') {
            Some((name, subcommand)) => (name, Some(subcommand.as_bytes())),
            None => (command, None),
        };
        flags_of(name.as_bytes(), subcommand).unwrap_or_else(|| panic!("{command} is not in the table"))
    }

    #[test]
    fn reading_is_told_from_writing() {
        for command in
            ["GET", "EVAL_RO", "FCALL_RO", "SORT_RO", "XINFO STREAM", "OBJECT ENCODING", "MEMORY USAGE"]
        {
            assert!(flags(command).is_readonly() && !flags(command).is_write(), "{command}");
        }
        for command in ["SET", "SORT", "XREADGROUP", "XGROUP CREATE", "FLUSHALL", "RESTORE"] {
            assert!(flags(command).is_write() && !flags(command).is_readonly(), "{command}");
        }
        for command in
            ["EVAL", "FCALL", "MULTI", "PING", "CONFIG SET", "CONFIG GET", "CLIENT KILL", "SHUTDOWN"]
        {
            assert!(!flags(command).is_readonly() && !flags(command).is_write(), "{command}");
        }
    }

    #[test]
    fn waiting_is_known() {
        for command in ["BLPOP", "BZPOPMIN", "XREAD", "XREADGROUP"] {
            assert!(flags(command).is_blocking(), "{command}");
        }
        assert!(flags("BLPOP").is_write());
        assert!(flags("XREAD").is_readonly());
        assert!(!flags("LPOP").is_blocking());
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(flags("GeT"), flags("get"));
        assert_eq!(flags("xInfo STREAM"), flags("XINFO stream"));
    }

    #[test]
    fn a_second_word_counts_only_in_a_container() {
        assert_eq!(flags("GET kill"), flags("GET"));
        assert!(!flags("XINFO").is_readonly());
        assert_eq!(flags_of(b"XINFO", Some(b"GROUPSX")), None);
    }

    #[test]
    fn the_unknown_is_not_guessed() {
        for name in ["", "|", "GE", "GETT", "client|list", "ft.search", "gét"] {
            assert_eq!(flags_of(name.as_bytes(), None), None, "{name}");
        }
        assert_eq!(flags_of(b"CONFIG", Some(b"")), None);
        let long = [b'x'; 1000];
        assert_eq!(flags_of(&long, None), None);
        assert_eq!(flags_of(b"CONFIG", Some(&long)), None);
    }

    #[test]
    fn the_table_is_sorted_and_every_name_in_it_is_found() {
        assert!(COMMANDS.is_sorted_by(|(one, _), (next, _)| one < next));
        for (entry, flags) in COMMANDS {
            let (name, subcommand) = match entry.split_once('|') {
                Some((name, subcommand)) => (name, Some(subcommand.as_bytes())),
                None => (*entry, None),
            };
            assert_eq!(flags_of(name.as_bytes(), subcommand), Some(*flags), "{entry}");
        }
    }
}
