//! Which encoders this machine has. A media child looks once, when somebody first needs to know: what is installed later
//! is found by the next start of the service.

use std::sync::Arc;

use flame_api::transcode::Encoder;
use flame_chain::chain::{Chain, Work};
use flame_chain::table::ENCODERS;
use flame_media_child::protocol::{Outcome, Request};
use flame_media_child::{Call, ChildError, Pool, PoolConfig};
use tokio::sync::OnceCell;

/// What is installed. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Encoders {
    pool: PoolConfig,
    found: Arc<OnceCell<Found>>,
}

/// What was found.
#[derive(Debug)]
struct Found {
    words: Vec<String>,
    tools: String,
}

// === impl Encoders ===

impl Encoders {
    /// Looks with a child as those of `pool`, which is ended at once: it never waits for one that encodes.
    #[must_use]
    pub fn new(pool: PoolConfig) -> Self {
        Self { pool, found: Arc::new(OnceCell::new()) }
    }

    /// The names, as documents write them, of those that are installed.
    ///
    /// # Errors
    /// The media process does not answer.
    pub async fn installed(&self) -> Result<&[String], ChildError> {
        self.found.get_or_try_init(|| self.look()).await.map(|found| found.words.as_slice())
    }

    /// Versions of the programs and libraries that encode, for people.
    ///
    /// # Errors
    /// The media process does not answer.
    pub async fn tools(&self) -> Result<&str, ChildError> {
        self.found.get_or_try_init(|| self.look()).await.map(|found| found.tools.as_str())
    }

    /// All that this release drives.
    ///
    /// # Errors
    /// The media process does not answer.
    pub async fn list(&self) -> Result<Vec<Encoder>, ChildError> {
        let installed = self.installed().await?;
        let all = ENCODERS.iter().map(|encoder| Encoder {
            name: encoder.word.to_owned(),
            codec: encoder.codec.to_owned(),
            installed: installed.iter().any(|word| word == encoder.word),
            element: encoder.element.to_owned(),
            package: encoder.package.to_owned(),
        });
        Ok(all.collect())
    }

    async fn look(&self) -> Result<Found, ChildError> {
        let names = ENCODERS.iter().map(|encoder| encoder.element.to_owned()).collect();
        let outcome = Pool::new(self.pool.clone()).run(&Request::Elements { names }, Call::default()).await?;
        let (found, tools) = match outcome {
            Outcome::Elements { installed, versions } => (installed, versions),
            _ => (Vec::new(), String::new()),
        };
        let words = ENCODERS.iter().filter(|encoder| found.iter().any(|name| name == encoder.element));
        Ok(Found { words: words.map(|encoder| encoder.word.to_owned()).collect(), tools })
    }
}

/// Whether the chain names an encoder, or a codec that not every installation makes, so that it matters which there are.
#[must_use]
pub fn matter(chain: &Chain) -> bool {
    chain.stages.iter().any(|stage| match &stage.work {
        Work::EncodeVideo(encoding) => encoding.encoder.is_some() || encoding.codec != "h264",
        Work::EncodeAudio(encoding) => encoding.encoder.is_some(),
        _ => false,
    })
}
