"""Micro-behaviour sessions of the HUP paper (WSDM 2020)."""
