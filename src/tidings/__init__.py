"""Tidings: self-hosted email marketing for creators that speaks the ConvertKit API v3."""

__version__ = "0.1.0"
