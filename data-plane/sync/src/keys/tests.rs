//! Keys are in memory only in the form in which they are used.

use toolgate_proto::credential::v1 as pb;

use super::*;
use crate::{
    disk::EncryptedDirectory,
    memory_search::{copies_in_memory, masked_key, unmasked},
};

#[test]
fn keys_in_use_and_their_file_leave_no_copy_of_the_keyring_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Arc::new(EncryptedDirectory::open(folder.path()).unwrap());
    let keys: [[u8; 32]; 8] = std::array::from_fn(|at| masked_key(u8::try_from(at).unwrap()));
    let encrypt_key = |(epoch, key): (u32, &[u8; 32])| pb::ClientStateKey {
        epoch,
        key: unmasked(key),
    };
    let answer = pb::Keyring {
        token_key: unmasked(&keys[0]),
        client_state_keys: (1..).zip(&keys[1..]).map(encrypt_key).collect(),
        unchanged: false,
    };
    let copies = || copies_in_memory(&keys).unwrap();
    assert_eq!(copies(), [1; 8], "the search finds a key");
    let keyring = ProxyKeyring::from_proto(&answer).unwrap();
    let shared = SharedKeys::new(&keyring).unwrap();
    let bytes = Zeroizing::new(answer.encode_to_vec());
    disk.save(FILE, &bytes).unwrap();
    drop((answer, keyring, bytes));
    let loaded = load(&disk).unwrap();
    assert_eq!(shared.digest, loaded.digest);
    assert_eq!(shared.hasher.hash("token"), loaded.hasher.hash("token"));
    assert_eq!(copies(), [0; 8]);
}
