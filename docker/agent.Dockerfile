# The agent's image: one static program and nothing else. Its init container copies the program into the server's container,
# its sidecar is the agent. docker/build.sh makes the folder that this is built from.
FROM scratch
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="redisnode" \
      org.opencontainers.image.description="The agent and the launcher of a Redis or Valkey node" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY redisnode /redisnode
# Nobody's number, for who says no other. The program needs no user of its own: pods give it any, also with group 0.
USER 65532:65532
ENTRYPOINT ["/redisnode"]
