// Made from moments.wat by scripts/build-wasm.js: change that, and run it again.

/** The module in base64. */
export const wasm =
  "AGFzbQEAAAABBgFgAn9/AAISAQZhcnJheXMGbWVtb3J5AgABAwIBAAcLAQdtb21lbnRzAAAKlQEBkgECAX8Fe0EA/QAEACEFQRD9AAQAIQcgACABQQJ0aiECA0AgAP0ABAAiAyAD/Q0ICQoLDA0ODwgJCgsMDQ4P/V8hBCAHIAP94AH96wEhByAD/V8hAyAFIAMgA/3yAf3wASEFIAYgBCAE/fIB/fABIQYgAEEQaiIAIAJJDQALQQAgBSAG/fAB/QsEAEEQIAf9CwQACw==";
