//! Log lines on stderr, as `WEFT_LOG` asks.

use tracing_subscriber::EnvFilter;

/// What a node logs unless `WEFT_LOG` says otherwise: weft's own news, and of the
/// libraries only what went wrong.
pub const NODE_LOG: &str =
    "warn,weft=info,weft_node=info,weft_net=info,weft_store=info,weft_infer=info";

/// Starts logging to stderr, `default` (such as [`NODE_LOG`]) unless `WEFT_LOG` is
/// set. Says on which directive of `WEFT_LOG` it choked, if
/// it did; the default then applies. A second call in one process changes nothing.
pub fn start_logging(default: &str) -> Result<(), String> {
    let wanted = std::env::var("WEFT_LOG").unwrap_or_default();
    let (filter, result) = match EnvFilter::builder().parse(&wanted) {
        Ok(filter) if !wanted.is_empty() => (filter, Ok(())),
        Ok(_) => (EnvFilter::new(default), Ok(())),
        Err(error) => (
            EnvFilter::new(default),
            Err(format!("WEFT_LOG `{wanted}` was ignored: {error}")),
        ),
    };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .try_init();
    result
}
