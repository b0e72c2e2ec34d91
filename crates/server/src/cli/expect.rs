//! What commands print, held against files that are kept beside the tests. `UPDATE_EXPECT=1` writes them anew.

use std::fs;
use std::path::Path;

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
