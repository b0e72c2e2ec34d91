//! The exit codes, for the help, the man pages and the reference. What fails with which is said in [`crate::failure`].

use std::fmt::Write as _;

/// Each exit code and what it means.
pub(super) const EXIT_CODES: [(&str, &str); 6] = [
    ("0", "Done, or shown; run: ended as it was told to, by SIGTERM or SIGINT"),
    ("1", "Refused, not confirmed, failed, or nobody knows whether it was done; the message says which"),
    ("2", "The command line or a configuration file is wrong"),
    ("3", "ZooKeeper can't be reached"),
    ("4", "Found an error or a warning (doctor)"),
    (
        "128+N",
        "Ended by signal N, as shells tell it: 130 by Ctrl-C. Who waits for an answer takes the request back at Ctrl-C \
         and ends with 1. What was asked for before may be done all the same",
    ),
];

/// The exit codes below the help of the program.
pub(super) fn help() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in EXIT_CODES {
        writeln!(text, "  {code:<5}  {meaning}").expect("a string takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::cli::doctor;
    use crate::failure::Kind;

    #[test]
    fn the_codes_in_use_are_those_that_are_told_of() {
        let failures = Kind::ALL.map(Kind::code);
        let used: BTreeSet<u8> = failures.into_iter().chain([0, doctor::FOUND]).collect();
        let told: BTreeSet<u8> = EXIT_CODES.iter().filter_map(|(code, _)| code.parse().ok()).collect();
        assert_eq!(used, told);
    }
}
