//! Tests of the error for addresses in use.

use std::net::TcpListener;

use super::ensure_free;

#[test]
fn every_address_in_use_is_named_with_its_flag() {
    let taken = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let [one, two] = [0, 1].map(|index| taken[index].local_addr().unwrap());
    let any = "127.0.0.1:0".parse().unwrap();
    let asked = [
        (one, "--listen"),
        (any, "--push-listen"),
        (two, "--admin-listen"),
    ];
    let told = ensure_free(&asked).unwrap_err().to_string();
    assert!(
        told.contains(&format!("{one} (--listen), {two} (--admin-listen)")),
        "{told}"
    );
    assert!(!told.contains("--push-listen"), "{told}");
}
