# rainkit and its methods on CPUs, serving the page and the HTTP interface (docs/serve.md).
#
#   docker build -t rainkit .
#   docker run --rm -p 8000:8000 -e RAINKIT_TOKEN=a-secret-of-yours rainkit
#
# pip's own torch for Linux is the build for CUDA, which takes 6 GB. The build argument TORCH_OPTIONS
# takes the options of pip for a smaller one, which pytorch.org/get-started shows for CPUs.

FROM python:3.13-slim-bookworm AS build
ARG TORCH_OPTIONS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/rainkit
ENV PATH=/opt/rainkit/bin:$PATH
RUN pip install torch torchvision $TORCH_OPTIONS
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY rainkit ./rainkit
COPY plugins ./plugins
RUN pip install ".[serve,heif,video]" \
      ./plugins/rainkit-graspp-gan ./plugins/rainkit-granet ./plugins/rainkit-resguidenet \
      ./plugins/rainkit-timelapse ./plugins/rainkit-freq-gan

FROM python:3.13-slim-bookworm
# What OpenCV's wheel needs of the system.
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 10001 rainkit
COPY --from=build /opt/rainkit /opt/rainkit
ENV PATH=/opt/rainkit/bin:$PATH
USER rainkit
WORKDIR /home/rainkit
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/health')"]
ENTRYPOINT ["rainkit"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
