# The image: the host with its page, the shipped scenarios, and what their scripted casts need.
#   docker build -t formicarium .
#   docker run -p 7878:7878 formicarium
# With Claude Code, its ACP adapter and the Agent SDKs too (about 900 MB more), for the casts that seat them:
#   docker build --target with-agents -t formicarium-agents .
#   docker run -p 7878:7878 -e ANTHROPIC_API_KEY formicarium-agents run commons --cast claude --bind 0.0.0.0
ARG BUILD_IMAGE=rust:1.95-bookworm
ARG NODE_IMAGE=node:20-bookworm-slim
ARG RUN_IMAGE=debian:bookworm-slim

FROM ${NODE_IMAGE} AS page
WORKDIR /build/viewer
COPY viewer/package.json viewer/package-lock.json viewer/.npmrc ./
RUN npm ci --no-audit --no-fund
COPY viewer ./
RUN npm run build

FROM ${BUILD_IMAGE} AS host
WORKDIR /build
COPY Cargo.toml Cargo.lock build.rs ./
COPY engine engine
COPY agents agents
COPY src src
COPY benches benches
COPY scenarios scenarios
COPY --from=page /build/viewer/dist viewer/dist
RUN cargo build --release --locked

FROM ${RUN_IMAGE} AS base
# The shipped casts run programs of the workspace, Python and the shell.
RUN apt-get update && apt-get install -y --no-install-recommends python3 && rm -rf /var/lib/apt/lists/*
COPY --from=host /build/target/release/formicarium /build/target/release/formicarium-player /usr/local/bin/
WORKDIR /formicarium
# For whoever the container runs as; a volume takes the rights of what it covers.
RUN mkdir -m 1777 runs
VOLUME /formicarium/runs
EXPOSE 7878
STOPSIGNAL SIGINT
ENTRYPOINT ["formicarium"]

# Stages that nobody asks for are not built.
FROM ${NODE_IMAGE} AS agents
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv && rm -rf /var/lib/apt/lists/*
COPY agents/examples /build/agents/examples
RUN sh /build/agents/examples/install.sh /usr/local/agents

FROM base AS with-agents
COPY --from=agents /usr/local/bin/node /usr/local/bin/node
# Beside the folder of the host's binary, where commands are looked for.
COPY --from=agents /usr/local/agents /usr/local/agents
CMD ["run", "commons", "--cast", "claude", "--bind", "0.0.0.0"]

FROM base
CMD ["run", "commons", "--mode", "realtime", "--hz", "8", "--ticks", "0", "--isolation", "best", "--bind", "0.0.0.0"]
