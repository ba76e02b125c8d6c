//! The database's journals before it reads them: files come in, damage is found, kept aside and cut out.
//!
//! The database ends its reading at the first thing it cannot parse and cuts the rest off without
//! a word (fjall issue 311), and refuses to open at a wrong checksum. Both are wrong for a store
//! that has answered: what comes after one bad byte is good and stays, and what is lost is said.

use std::fs;
use std::io::{self, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::files::sync_dir;
use crate::layout;
use crate::numbers::{take, u8, u16, u32, u64};
use crate::report::{Lost, Report};

/// What ends each batch in a journal of the database's format 3.
const TRAILER: &[u8] = b"FJL\x03";

/// One whole batch in a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Batch {
    at: Range<usize>,
    seqno: u64,
    commit: Option<u64>,
}

/// What a journal's bytes are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Scan {
    batches: Vec<Batch>,
    /// Parts before or between batches that are none, in order.
    damaged: Vec<Range<usize>>,
    /// What follows the last batch, up to the last byte that is not zero.
    tail: Range<usize>,
}

/// What the journals hold, and what is not decided before the database was read.
#[derive(Debug, Default)]
pub(crate) struct Mended {
    /// Commits that are missing between others.
    missing: u64,
    /// What followed the last batch: a write that was under way, or one that was answered.
    tail: Option<Lost>,
    last_commit: Option<u64>,
    after_damage: bool,
}

/// Looks at every journal in `database`, and takes out of it what the database must not meet.
pub(crate) fn mend(database: &Path, aside: &Path, report: &mut Report) -> io::Result<Mended> {
    let mut mended = Mended::default();
    let journals = journals(database)?;
    if journals.is_empty() {
        // Without one the database counts from zero: what is in tables is not met in order, and
        // hides what is written from then on.
        fs::File::create_new(database.join("0.jnl"))?.sync_all()?;
        sync_dir(database)?;
    }
    for (_, path) in journals {
        let bytes = fs::read(&path)?;
        let mut scan = scan(&bytes);
        distrust_order(&mut scan);
        if !scan.batches.is_empty()
            && let Some(tail) = mended.tail.take()
        {
            // Writes came after it, so it was whole once.
            report.lost.push(tail);
            mended.after_damage = true;
        }
        mended.count(&scan);
        let keep = |part: &Range<usize>| keep_aside(aside, &path, part, &bytes);
        for damage in &scan.damaged {
            report.lost.push(keep(damage)?);
        }
        if !scan.tail.is_empty() {
            mended.tail = Some(keep(&scan.tail)?);
        }
        if !scan.damaged.is_empty() || !scan.tail.is_empty() {
            rewrite(&path, &bytes, &scan.batches)?;
        }
    }
    Ok(mended)
}

impl Mended {
    /// Counts the commits that a damaged part must have held, by the numbers on both sides of it.
    fn count(&mut self, scan: &Scan) {
        let mut damaged = scan.damaged.iter().map(|part| part.start).peekable();
        for batch in &scan.batches {
            while damaged.next_if(|start| *start < batch.at.start).is_some() {
                self.after_damage = true;
            }
            let Some(commit) = batch.commit else { continue };
            if std::mem::take(&mut self.after_damage) {
                let before = self.last_commit.map(|last| last + 1);
                self.missing += before.map_or(1, |next| commit.saturating_sub(next));
            }
            self.last_commit = Some(commit);
        }
        self.after_damage |= damaged.next().is_some();
    }

    /// Decides what the last bytes were, now that it is known how many answered commits are missing
    /// at the end.
    pub(crate) fn settle(self, missing_at_end: u64, report: &mut Report) -> io::Result<()> {
        report.commits_lost = self.missing + missing_at_end;
        match self.tail {
            Some(tail) if missing_at_end > 0 => report.lost.push(tail),
            Some(tail) => {
                report.torn_tail_bytes = tail.bytes;
                fs::remove_file(tail.kept)?;
            }
            None => {}
        }
        Ok(())
    }
}

/// The journals by number, oldest first.
fn journals(database: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(database)? {
        let path = entry?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.strip_suffix(".jnl")?.parse().ok());
        journals.extend(number.map(|number| (number, path)));
    }
    journals.sort();
    Ok(journals)
}

fn keep_aside(aside: &Path, journal: &Path, part: &Range<usize>, bytes: &[u8]) -> io::Result<Lost> {
    fs::create_dir_all(aside)?;
    let name = journal
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or("journal");
    let kept = |n: u32| aside.join(format!("{name}-{}-{n}", part.start));
    let kept = (1..)
        .map(kept)
        .find(|path| !path.exists())
        .unwrap_or_else(|| kept(0));
    let mut file = fs::File::create_new(&kept)?;
    file.write_all(bytes.get(part.clone()).unwrap_or_default())?;
    file.sync_all()?;
    sync_dir(aside)?;
    let long = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
    let (offset, bytes) = (long(part.start), long(part.len()));
    Ok(Lost {
        journal: journal.to_owned(),
        offset,
        bytes,
        kept,
    })
}

/// Replaces a journal by its good batches alone.
fn rewrite(path: &Path, bytes: &[u8], batches: &[Batch]) -> io::Result<()> {
    let unfinished = path.with_extension("mended");
    let mut file = fs::File::create(&unfinished)?;
    for batch in batches {
        file.write_all(bytes.get(batch.at.clone()).unwrap_or_default())?;
    }
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

fn scan(bytes: &[u8]) -> Scan {
    let mut scan = Scan::default();
    let end = end(bytes);
    let mut good = 0;
    let mut at = 0;
    while at < end {
        // A batch begins with the byte 1; the trailing zeros of a batch's last number are its own.
        let candidate = bytes
            .get(at..)
            .filter(|rest| rest.first() == Some(&1))
            .and_then(batch);
        let Some((len, seqno, commit)) = candidate else {
            at += 1;
            continue;
        };
        if at > good {
            scan.damaged.push(good..at);
        }
        scan.batches.push(Batch {
            at: at..at + len,
            seqno,
            commit,
        });
        at += len;
        good = at;
    }
    scan.tail = good..end.max(good);
    scan
}

/// Where the zeros begin that a journal is made with: up to 64 MiB of them, so by whole blocks.
fn end(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let blank = bytes
        .rchunks(ZEROS.len())
        .take_while(|block| ZEROS.starts_with(block));
    let rest = bytes.len() - blank.map(<[u8]>::len).sum::<usize>();
    let rest = bytes.get(..rest).unwrap_or_default();
    rest.iter()
        .rposition(|byte| *byte != 0)
        .map_or(0, |last| last + 1)
}

/// Sequence numbers lie outside the batch's checksum, and a wrong one would hide later writes.
///
/// The commit's number lies inside. The database takes a sequence number for itself now and then,
/// so the distance between the two may grow from one batch to the next, but never shrinks.
fn distrust_order(scan: &mut Scan) {
    let distance = |batch: &Batch| Some(i128::from(batch.seqno) - i128::from(batch.commit?));
    let distances: Vec<(usize, i128)> = (0..)
        .zip(&scan.batches)
        .filter_map(|(place, batch)| Some((place, distance(batch)?)))
        .collect();
    let (mut trusted, mut wrong): (Vec<(usize, i128)>, Vec<usize>) = (Vec::new(), Vec::new());
    for (n, (place, own)) in distances.iter().copied().enumerate() {
        let after = distances.get(n + 1).map(|(_, after)| *after);
        let mut latest = trusted.iter().rev().map(|(_, distance)| *distance);
        let (before, earlier) = (latest.next().unwrap_or(own), latest.next());
        if own < before {
            let before_is_wrong = match after {
                Some(after) => after < before,
                None => earlier.is_some_and(|earlier| earlier <= own),
            };
            if before_is_wrong {
                wrong.extend(trusted.pop().map(|(place, _)| place));
                trusted.push((place, own));
            } else {
                wrong.push(place);
            }
        } else if own - before > SEQNO_STEP_MAX && after.is_none_or(|after| after < own) {
            wrong.push(place);
        } else {
            trusted.push((place, own));
        }
    }
    wrong.sort_unstable();
    for place in wrong.into_iter().rev() {
        let batch = scan.batches.remove(place);
        scan.damaged.push(batch.at);
    }
    scan.damaged.sort_by_key(|part| part.start);
}

/// Between two commits the database takes a number for itself now and then, never so many.
const SEQNO_STEP_MAX: i128 = 1 << 20;

/// The length, sequence number and commit number of the batch that `bytes` begins with.
fn batch(bytes: &[u8]) -> Option<(usize, u64, Option<u64>)> {
    let mut rest = bytes;
    let (1, items) = (u8(&mut rest)?, u32(&mut rest)?) else {
        return None;
    };
    let seqno = u64(&mut rest)?;
    let checked = rest;
    let mut commit = None;
    for _ in 0..items {
        let (key, value) = item(&mut rest)?;
        if key == layout::COMMIT {
            commit = value.try_into().ok().map(u64::from_be_bytes);
        }
    }
    let checked = checked.get(..checked.len() - rest.len())?;
    let 3 = u8(&mut rest)? else { return None };
    let checksum = u64(&mut rest)?;
    let whole = take(&mut rest, TRAILER.len())? == TRAILER && xxh3_64(checked) == checksum;
    whole.then_some((bytes.len() - rest.len(), seqno, commit))
}

/// One item of a batch: its key and value.
fn item<'a>(rest: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    // This store clears no keyspace and compresses nothing, so that only plain items occur.
    let (2, 0..=2, 0) = (u8(rest)?, u8(rest)?, u8(rest)?) else {
        return None;
    };
    let _keyspace = u64(rest)?;
    let key_bytes = u16(rest)?;
    let _value_bytes = u32(rest)?;
    let value_bytes = u32(rest)?;
    let key = take(rest, usize::from(key_bytes))?;
    Some((key, take(rest, usize::try_from(value_bytes).ok()?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A batch with the commit's row alone, as the database writes it.
    fn encoded(seqno: u64, commit: u64) -> Vec<u8> {
        let mut items = vec![2, 0, 0];
        items.extend(1_u64.to_le_bytes());
        items.extend(u16::try_from(layout::COMMIT.len()).unwrap().to_le_bytes());
        items.extend([8_u32.to_le_bytes(), 8_u32.to_le_bytes()].concat());
        items.extend(layout::COMMIT);
        items.extend(commit.to_be_bytes());
        let mut bytes = vec![1];
        bytes.extend(1_u32.to_le_bytes());
        bytes.extend(seqno.to_le_bytes());
        bytes.extend(&items);
        bytes.push(3);
        bytes.extend(xxh3_64(&items).to_le_bytes());
        bytes.extend(TRAILER);
        bytes
    }

    fn journal(seqnos: &[u64]) -> Vec<u8> {
        (1..)
            .zip(seqnos)
            .flat_map(|(commit, seqno)| encoded(*seqno, commit))
            .collect()
    }

    fn commits(scan: &Scan) -> Vec<u64> {
        scan.batches
            .iter()
            .filter_map(|batch| batch.commit)
            .collect()
    }

    #[test]
    fn whole_batches_are_found_before_the_zeros_and_beside_damage() {
        let whole = journal(&[5, 6, 7]);
        let len = whole.len() / 3;
        let found = scan(&[whole.clone(), vec![0; 10_000]].concat());
        assert_eq!(
            (commits(&found), found.damaged, found.tail),
            (vec![1, 2, 3], vec![], whole.len()..whole.len())
        );
        for at in 0..len {
            let mut bent = whole.clone();
            bent[len + at] ^= 0x40;
            let mut found = scan(&bent);
            distrust_order(&mut found);
            let missing = len..2 * len;
            assert_eq!(
                (commits(&found), &found.damaged),
                (vec![1, 3], &vec![missing]),
                "byte {at}"
            );
        }
        for cut in 1..len {
            let found = scan(&whole[..2 * len + cut]);
            let end = 2 * len..found.tail.end;
            assert_eq!(
                (commits(&found), found.tail),
                (vec![1, 2], end),
                "cut after {cut}"
            );
        }
        assert_eq!(scan(&[0; 5_000]), Scan::default());
        assert_eq!(scan(b""), Scan::default());
    }

    #[test]
    fn a_sequence_number_out_of_order_is_not_trusted() {
        const FAR: u64 = 1 << 40;
        let cases: [(&[u64], &[u64]); 10] = [
            (&[5], &[1]),
            (&[5, 6, 9, 10], &[1, 2, 3, 4]),
            (&[5, 600, 7, 8], &[1, 3, 4]),
            (&[5, 1, 7, 8], &[1, 3, 4]),
            (&[5, 6, 7, FAR], &[1, 2, 3]),
            (&[5, 6, 7, 2], &[1, 2, 3]),
            (&[FAR, 6, 7, 8], &[2, 3, 4]),
            (&[90, 6, 7, 8], &[2, 3, 4]),
            (&[5, 6, FAR, 8, 9], &[1, 2, 4, 5]),
            (&[5, 6, 7, FAR, 9], &[1, 2, 3, 5]),
        ];
        for (seqnos, expected) in cases {
            let mut found = scan(&journal(seqnos));
            distrust_order(&mut found);
            assert_eq!(commits(&found), expected, "{seqnos:?}");
        }
    }

    #[test]
    fn missing_commits_are_counted_by_the_numbers_around_the_damage() {
        let bytes = journal(&[5, 6, 7, 8, 9]);
        let len = bytes.len() / 5;
        let mut bent = bytes.clone();
        bent[len..3 * len].fill(0xff);
        let mut mended = Mended::default();
        mended.count(&scan(&bent));
        assert_eq!((mended.missing, mended.last_commit), (2, Some(5)));
        let mut mended = Mended::default();
        mended.count(&scan(&bytes));
        assert_eq!((mended.missing, mended.last_commit), (0, Some(5)));
        let mut between = bytes[..len].to_vec();
        between.extend(b"junk that held no commit");
        between.extend(&bytes[len..]);
        let mut mended = Mended::default();
        mended.count(&scan(&between));
        assert_eq!((mended.missing, mended.last_commit), (0, Some(5)));
    }
}
