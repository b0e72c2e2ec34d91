//! The words of a packed command. redis-rs hands some commands over only so, and of others it does not tell the cursor
//! that it puts in itself.

/// The words of one packed command, and what stands behind it.
pub(crate) fn words(packed: &[u8]) -> Option<(Vec<&[u8]>, &[u8])> {
    let (count, mut rest) = header(packed, b'*')?;
    // A count is no reason to believe it.
    let mut words = Vec::with_capacity(count.min(rest.len()));
    for _ in 0..count {
        let (length, after) = header(rest, b'$')?;
        words.push(after.get(..length)?);
        rest = after.get(length..)?.strip_prefix(b"\r\n")?;
    }
    Some((words, rest))
}

fn header(bytes: &[u8], kind: u8) -> Option<(usize, &[u8])> {
    let rest = bytes.strip_prefix(&[kind])?;
    let end = rest.iter().position(|byte| *byte == b'\r')?;
    let number = str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((number, rest[end..].strip_prefix(b"\r\n")?))
}
