//! Calls that block, on threads of their own.

use std::io;
use std::thread;
use std::time::Duration;

use chat::{ChannelMap, RemoteError};

/// Makes a call that blocks, such as the resolving of a name, on a thread of its own. `then`
/// is called with the result, on the loop. A program that ends meanwhile does not wait for it.
///
/// # Errors
///
/// The operating system's, if it gives no thread. `then` is dropped.
pub fn on_thread<T: Send + 'static>(
    map: &ChannelMap,
    call: impl FnOnce() -> T + Send + 'static,
    then: impl FnOnce(T, &mut ChannelMap) + Send + 'static,
) -> io::Result<()> {
    let remote = map.remote();
    let builder = thread::Builder::new().name("blocking".to_owned());
    builder.spawn(move || {
        let result = call();
        let mut work: Box<dyn FnOnce(&mut ChannelMap) + Send> = Box::new(|map| then(result, map));
        while let Err(RemoteError::Full(refused)) = remote.run(work) {
            work = refused;
            thread::sleep(Duration::from_millis(10)); // the loop is behind
        }
    })?;
    Ok(())
}
