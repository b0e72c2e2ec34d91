//! The journal's file: opened, appended to and renamed. It never overwrites what is not a journal.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};

use super::JournalFile;
use super::format::{FORMAT, OPENING};

/// An open file that this process alone writes to.
pub(super) struct Output {
    file: BufWriter<File>,
    length: u64,
}

impl Output {
    /// Opens the file to go on with what stands there, or, where that is enough or of another format, renames it and
    /// begins anew.
    ///
    /// # Errors
    /// When it can't be opened, is no journal, or another writes to it. Nothing was changed then.
    pub(super) fn open(place: &JournalFile) -> io::Result<Self> {
        let (mut file, mut length) = open(place)?;
        if length > 0 && (length >= half(place) || format(&mut file)? != Some(FORMAT)) {
            make_way(place)?;
            fs::rename(&place.path, place.older())?;
            (file, length) = open(place)?;
        }
        let mut output = Self { file: BufWriter::new(file), length };
        if length > 0 && !output.ends_a_line()? {
            // Whoever wrote it was killed, or the disk was full.
            output.write(b"\n")?;
        }
        Ok(output)
    }

    /// Whether it is so long that another should be begun.
    pub(super) fn is_full(&self, place: &JournalFile) -> bool {
        self.length >= half(place)
    }

    /// Appends.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.length += bytes.len() as u64;
        self.file.write_all(bytes)
    }

    /// Hands over to the system what was appended.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    /// Closes it without another attempt to write what could not be written.
    pub(super) fn abandon(self) {
        drop(self.file.into_parts());
    }

    fn ends_a_line(&mut self) -> io::Result<bool> {
        let file = self.file.get_mut();
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(last == *b"\n")
    }
}

fn half(place: &JournalFile) -> u64 {
    place.limit / 2
}

/// Makes sure that what is about to be replaced is an older journal.
fn make_way(place: &JournalFile) -> io::Result<()> {
    let older = place.older();
    let mut file = match File::open(&older) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        file => file?,
    };
    if file.metadata()?.len() > 0 && format(&mut file)?.is_none() {
        return Err(io::Error::other(format!("{} is no journal and would be replaced", older.display())));
    }
    Ok(())
}

/// The file and its length; what stands in it is a journal.
fn open(place: &JournalFile) -> io::Result<(File, u64)> {
    let mut file = File::options().read(true).append(true).create(true).open(&place.path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no file that could be renamed"));
    }
    // Held until it is closed, also where this process is killed.
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::new(ErrorKind::WouldBlock, "another monitor writes to it"),
        TryLockError::Error(error) => error,
    })?;
    if metadata.len() > 0 && format(&mut file)?.is_none() {
        return Err(io::Error::other("what stands there is no journal"));
    }
    Ok((file, metadata.len()))
}

/// The format of what stands in the file; `None` if that is no journal.
fn format(file: &mut File) -> io::Result<Option<u32>> {
    let mut beginning = Vec::new();
    file.seek(SeekFrom::Start(0))?;
    file.take(OPENING.len() as u64 + 10).read_to_end(&mut beginning)?;
    let Some(number) = beginning.strip_prefix(OPENING.as_bytes()) else { return Ok(None) };
    let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).copied().collect();
    Ok(String::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()))
}
