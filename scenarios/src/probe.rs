use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, watch};

/// What the tools and the scenario tell each other.
#[derive(Debug)]
pub struct Probe {
    entered: Semaphore,
    release: Semaphore,
    log: Mutex<Vec<String>>,
    changed: watch::Sender<()>,
}

impl Default for Probe {
    fn default() -> Self {
        let (changed, _) = watch::channel(());
        let (entered, release) = (Semaphore::new(0), Semaphore::new(0));
        Self { entered, release, log: Mutex::default(), changed }
    }
}

impl Probe {
    /// For tools: one more is inside.
    pub fn enter(&self) {
        self.entered.add_permits(1);
    }

    /// Waits until `count` more tools are inside.
    ///
    /// # Panics
    ///
    /// If they are not there soon.
    pub async fn entered(&self, count: u32) {
        let entered = crate::limits::prompt("the tools run", self.entered.acquire_many(count)).await;
        entered.expect("never closed").forget();
    }

    /// Lets `count` tools go.
    pub fn release(&self, count: usize) {
        self.release.add_permits(count);
    }

    /// For tools: waits to be let go.
    ///
    /// # Panics
    ///
    /// Never.
    pub async fn released(&self) {
        self.release.acquire().await.expect("never closed").forget();
    }

    /// For tools: notes a line.
    pub fn log(&self, line: impl Into<String>) {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).push(line.into());
        self.changed.send_replace(());
    }

    /// The lines so far.
    #[must_use]
    pub fn logged(&self) -> Vec<String> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many lines contain `part`.
    #[must_use]
    pub fn count(&self, part: &str) -> usize {
        self.logged().iter().filter(|line| line.contains(part)).count()
    }

    /// Waits until `count` lines contain `part`.
    ///
    /// # Panics
    ///
    /// If they do not come soon.
    pub async fn saw(&self, count: usize, part: &str) {
        let mut changed = self.changed.subscribe();
        let all = async {
            while self.count(part) < count {
                let _ = changed.changed().await;
            }
        };
        let what = format!("{count} lines of tools with {part:?}");
        crate::limits::prompt(&what, all).await;
    }

    /// A value that notes `line` when it is dropped.
    #[must_use]
    pub fn on_drop(self: &Arc<Self>, line: &'static str) -> impl Sized + Send + use<> {
        OnDrop(self.clone(), line)
    }
}

struct OnDrop(Arc<Probe>, &'static str);

impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.log(self.1);
    }
}
