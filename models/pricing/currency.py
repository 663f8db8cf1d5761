"""Digits after the decimal point by ISO 4217 currency. Only the exceptions are listed; every other currency has two."""

_NONE = "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF"
_THREE = "BHD IQD JOD KWD LYD OMR TND"
_DIGITS = dict.fromkeys(_NONE.split(), 0) | dict.fromkeys(_THREE.split(), 3)


def digits(code: str) -> int:
    """ISO 4217 exponent of a currency code (list one, 2024)."""
    return _DIGITS.get(code, 2)
