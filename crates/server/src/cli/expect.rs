//! What commands print, held against files that are kept beside the tests (`UPDATE_EXPECT=1` writes them anew), and
//! what they advise, against what the command line takes.

use std::fs;
use std::path::Path;

use clap::Parser as _;

/// Asserts that `text` is what `crates/server/tests/pages/NAME.txt` holds.
#[track_caller]
pub(super) fn assert_kept(name: &str, text: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/pages").join(name).with_extension("txt");
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        fs::create_dir_all(file.parent().expect("a folder")).expect("it is there then");
        fs::write(&file, text).expect("it is written");
    }
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let differs = text.lines().zip(kept.lines()).find(|(now, then)| now != then);
    let file = file.display();
    assert!(
        text == kept,
        "{file}: UPDATE_EXPECT=1 writes it anew; the first difference: {differs:?}\n{text}"
    );
}

/// Asserts that each of these lines of advice that is a command of ours is taken as it stands, but for the node that
/// only the reader knows. Returns how many are.
#[track_caller]
pub(super) fn assert_typed<'a>(advice: impl IntoIterator<Item = &'a String>) -> usize {
    let commands = advice.into_iter().filter(|line| line.starts_with("redis-failover "));
    let taken = commands.map(|line| {
        let words = line.split(' ').map(|word| if word == "NODE" { "a:6379" } else { word });
        let parsed = super::Cli::try_parse_from(words);
        assert!(
            parsed.is_ok(),
            "{line}: {}",
            parsed.err().map(|error| error.to_string()).unwrap_or_default()
        );
    });
    taken.count()
}
