"""Logs of the KuaiRand data set (CIKM 2022)."""
