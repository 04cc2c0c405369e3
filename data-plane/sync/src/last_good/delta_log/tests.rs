//! Tests of the log.

use super::*;

impl DeltaLog {
    /// Makes all writes fail as on a full disk, until the log is opened again.
    pub(in crate::last_good) fn fill_disk(&mut self) {
        let full = OpenOptions::new().write(true).open("/dev/full");
        self.file = full.unwrap();
    }
}

fn log_of(records: &[&[u8]]) -> (tempfile::TempDir, EncryptedDirectory, FileId) {
    let folder = tempfile::tempdir().unwrap();
    let disk = EncryptedDirectory::open(folder.path()).unwrap();
    let base = FileId([1; 24]);
    let mut log = DeltaLog::create(&disk, base).unwrap();
    for record in records {
        log.append(&disk, record).unwrap();
    }
    (folder, disk, base)
}

fn texts(content: &LogContent) -> Vec<&[u8]> {
    content.records.iter().map(|it| it.as_slice()).collect()
}

#[test]
fn records_are_read_in_order_and_belong_to_one_base() {
    let (_folder, disk, base) = log_of(&[b"one", b"", b"three"]);
    assert_eq!(
        texts(&read(&disk, base).unwrap()),
        [&b"one"[..], b"", b"three"]
    );
    let other = FileId([2; 24]);
    fs::rename(
        log_path(disk.folder(), base),
        log_path(disk.folder(), other),
    )
    .unwrap();
    assert_eq!(texts(&read(&disk, other).unwrap()), [&b""[..]; 0]);
    assert_eq!(texts(&read(&disk, base).unwrap()), [&b""[..]; 0]);
}

#[test]
fn a_record_that_is_moved_repeated_or_left_out_ends_the_log() {
    let (_folder, disk, base) = log_of(&[b"a", b"b", b"c"]);
    let path = log_path(disk.folder(), base);
    let bytes = fs::read(&path).unwrap();
    let length = bytes.len() / 3;
    let record = |at: usize| &bytes[at * length..(at + 1) * length];
    for (order, expected) in [
        ([0, 2, 1], 1),
        ([0, 0, 1], 1),
        ([1, 0, 2], 0),
        ([0, 1, 1], 2),
    ] {
        fs::write(&path, order.map(record).concat()).unwrap();
        assert_eq!(
            read(&disk, base).unwrap().records.len(),
            expected,
            "{order:?}"
        );
    }
}

#[test]
fn a_log_goes_on_after_its_last_complete_record() {
    let (_folder, disk, base) = log_of(&[b"one", b"two"]);
    let path = log_path(disk.folder(), base);
    let whole = fs::read(&path).unwrap();
    for cut in whole.len() / 2..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let content = read(&disk, base).unwrap();
        let mut log = DeltaLog::resume(&disk, base, &content).unwrap();
        log.append(&disk, b"next").unwrap();
        assert_eq!(
            texts(&read(&disk, base).unwrap()),
            [&b"one"[..], b"next"],
            "cut at {cut}"
        );
    }
}
