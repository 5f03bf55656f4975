//! How a node is asked over its API, in a namespace or beside this process.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::namespace::Namespace;

/// A node on a busy machine answers within this.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What the API of a node says at this path, where the node runs beside this process.
pub fn ask(home: &Path, path: &str) -> Result<Value> {
    Door::of(home)?.get(path)
}

/// The same, of a node that runs in a namespace.
pub(crate) fn get(namespace: &Namespace, home: &Path, path: &str) -> Result<Value> {
    let door = Door::of(home)?;
    namespace.inside(|| door.get(path))?
}

/// What it says when this is sent to it.
pub(crate) fn post(namespace: &Namespace, home: &Path, path: &str, body: &Value) -> Result<Value> {
    let door = Door::of(home)?;
    namespace.inside(|| door.post(path, body))?
}

/// Where a node that runs listens, and what it wants to be shown.
struct Door {
    base: String,
    token: String,
}

impl Door {
    fn of(home: &Path) -> Result<Self> {
        let file = std::fs::read(home.join("api.json")).context("the node does not run yet")?;
        let file: Value = serde_json::from_slice(&file)?;
        let field = |name: &str| file[name].as_str().context("api.json has another shape");
        Ok(Self {
            base: format!("http://{}", field("address")?),
            token: format!("Bearer {}", field("token")?),
        })
    }

    fn get(&self, path: &str) -> Result<Value> {
        let request = agent().get(format!("{}{path}", self.base));
        let mut answer = request.header("Authorization", &self.token).call()?;
        Ok(answer.body_mut().read_json()?)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        let request = agent().post(format!("{}{path}", self.base));
        let request = request.header("Authorization", &self.token);
        Ok(request.send_json(body)?.body_mut().read_json()?)
    }
}

/// A fresh one each time: a connection belongs to the namespace that it was made in.
fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder();
    let config = config.proxy(None).timeout_global(Some(TIMEOUT));
    config.build().new_agent()
}
