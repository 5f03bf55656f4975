//! How the lab asks a node that runs in a namespace.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::namespace::Namespace;

/// A node on a busy machine answers within this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What a node's API says at this path.
pub(crate) fn get(namespace: &Namespace, home: &Path, path: &str) -> Result<Value> {
    call(namespace, home, |agent, base, token| {
        let mut answer = agent
            .get(format!("{base}{path}"))
            .header("Authorization", token)
            .call()?;
        Ok(answer.body_mut().read_json()?)
    })
}

/// What it says when this is sent to it.
pub(crate) fn post(namespace: &Namespace, home: &Path, path: &str, body: &Value) -> Result<Value> {
    call(namespace, home, |agent, base, token| {
        let mut answer = agent
            .post(format!("{base}{path}"))
            .header("Authorization", token)
            .send_json(body)?;
        Ok(answer.body_mut().read_json()?)
    })
}

fn call(
    namespace: &Namespace,
    home: &Path,
    ask: impl FnOnce(&ureq::Agent, &str, &str) -> Result<Value> + Send,
) -> Result<Value> {
    let file = std::fs::read(home.join("api.json")).context("the node does not run yet")?;
    let file: Value = serde_json::from_slice(&file)?;
    let field = |name: &str| file[name].as_str().context("api.json has another shape");
    let (address, token) = (field("address")?, field("token")?);
    namespace.inside(|| {
        let config = ureq::Agent::config_builder()
            .proxy(None)
            .timeout_global(Some(TIMEOUT))
            .build();
        let (base, token) = (format!("http://{address}"), format!("Bearer {token}"));
        ask(&config.new_agent(), &base, &token)
    })?
}
