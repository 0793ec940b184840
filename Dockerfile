# ginr on the CPU: docker build -t ginr . && docker run --rm -v "$PWD:/data" ginr upscale photo.jpg
FROM python:3.12-slim
RUN pip install --no-cache-dir "torch>=2.6,<2.14" --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE /ginr/
COPY ginr_cli /ginr/ginr_cli
COPY models /ginr/models
RUN pip install --no-cache-dir "/ginr[formats,video,watch]" && rm -r /ginr
WORKDIR /data
ENTRYPOINT ["ginr"]
