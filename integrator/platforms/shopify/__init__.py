"""Shopify Admin GraphQL: order lines, in bulk first, by page after."""
