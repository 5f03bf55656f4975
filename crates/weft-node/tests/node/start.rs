//! Starts that cannot be, and ends.

use std::net::TcpListener;

use weft_node::{
    ImportError, Options, RunError, client::Client, client::ClientError, import_offline, run,
};

use crate::mesh::{Admin, Running};

#[test]
fn a_port_in_use_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let mut home = Admin::new().home(folder.path(), &[]);
    home.settings_mut().api_address = address;
    let error = run(&home, Options::default()).unwrap_err();
    assert!(
        matches!(error, RunError::PortInUse(at) if at == address),
        "{error}"
    );
    assert!(home.running().is_none());

    let mut home = home;
    home.settings_mut().api_address = "127.0.0.1:0".parse().unwrap();
    home.settings_mut().listen = vec![format!("/ip4/127.0.0.1/tcp/{}", address.port())];
    let error = run(&home, Options::default()).unwrap_err();
    assert!(matches!(error, RunError::Network(_)), "{error}");
    assert!(
        error.to_string().contains(&address.port().to_string()),
        "{error}"
    );
    home.settings_mut().listen = vec!["somewhere".to_owned()];
    let error = run(&home, Options::default()).unwrap_err();
    assert!(matches!(error, RunError::Address { .. }), "{error}");
}

#[test]
fn one_folder_one_node() {
    let folder = tempfile::tempdir().unwrap();
    let admin = Admin::new();
    let running = Running::start(admin.home(folder.path(), &[]));
    let home = weft_node::Home::open(folder.path()).unwrap();
    let error = run(&home, Options::default()).unwrap_err();
    assert!(matches!(error, RunError::AlreadyRunning { .. }), "{error}");
    let bundle = admin.bundle(&folder.path().join("b"), &[], |_| true);
    let error = import_offline(&home, &bundle).unwrap_err();
    let ImportError::Node(error) = error else {
        panic!("{error}")
    };
    assert!(matches!(*error, RunError::AlreadyRunning { .. }), "{error}");

    let client = running.client.clone();
    running.stop();
    assert!(matches!(client.status(), Err(ClientError::NotRunning(_))));
    assert!(matches!(
        Client::connect(folder.path()),
        Err(ClientError::NotRunning(_))
    ));
    // and what stopped can start again
    Running::start(home).stop();
}
