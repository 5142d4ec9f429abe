# The coordinator's image: one static program and nothing else. docker/build.sh makes the folder that this is built from.
FROM scratch
ARG VERSION
ARG REVISION
ARG CREATED
LABEL org.opencontainers.image.title="redis-coordinator" \
      org.opencontainers.image.description="Looks after RedisClusters on Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
COPY redis-coordinator /redis-coordinator
# A number and not a name: only so can Kubernetes see that it is not root.
USER 65532:65532
EXPOSE 8086
ENTRYPOINT ["/redis-coordinator"]
