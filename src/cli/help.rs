//! The parts of `--help` around the list of options, at most 80 columns wide.

/// The forms of the command.
pub(super) const USAGE: &str = "\
inference-core [OPTIONS] [MODEL] [PORT]
       inference-core [OPTIONS] --demo [PORT]
       inference-core plan [OPTIONS] [MODEL | --demo]
       inference-core key new NAME [--file FILE]
       inference-core tls new [--dir FOLDER] [NAME]...";

/// What the program does, before the list of options.
pub(super) const ABOUT: &str = "\
Serves a local language model over a WebSocket and over HTTP, and streams its
tokens. Programs for OpenAI's API use http://127.0.0.1:3000/v1.

  inference-core model.gguf 3000   serve a GGUF file on port 3000
  inference-core --demo            serve the built-in demo model: a toy with 3
                                   million parameters that tells small stories
                                   in English and Spanish
  inference-core plan model.gguf   show how much memory the model needs and what
                                   fits on the GPU, without loading it
  inference-core key new NAME      make an API key; `key --help` has its options
  inference-core tls new           make a certificate and a key for TLS

MODEL is a GGUF file; of a split model, the first file. Without MODEL the demo
model is served. PORT defaults to 3000; 0 picks any free port. Without --host
the server listens for this machine only: on 127.0.0.1 and, if available, on
[::1].";

/// Environment variables and exit codes, after the list of options.
pub(super) const AFTER_OPTIONS: &str = "\
Every option of the server can also be set by an environment variable:
INFERENCE_CORE_ and its name in capitals, such as INFERENCE_CORE_CTX_SIZE=2048.

Exit codes:
  0   stopped by SIGINT, SIGTERM or SIGQUIT, or because its terminal was closed,
      or printed what was asked for
  1   the reader of the output closed it
  64  an option or argument is wrong or does not fit the model, or the API keys
      cannot be used
  65  the model file is broken or its model is not supported, or a certificate
      or its key cannot be used
  66  the model file, a certificate or its key does not exist or cannot be read
  69  the port or the Unix socket is in use
  70  the model's process ends again and again, or its load makes no progress
  71  the machine has too little memory or another resource, or cannot do what
      --sandbox strict wants
  74  the output, a certificate, its key or the file of API keys cannot be
      written
  77  the port needs privileges that this user does not have
  130 interrupted by a second signal during shutdown";
