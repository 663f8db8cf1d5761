"""What a query costs in points: an object 1, a scalar 0, a connection its ``first`` times what is inside."""

from collections.abc import Mapping
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    get_named_type,
)

MUTATION = 10
MOST = 1000
_FREE = ("edges", "nodes", "node", "pageInfo")


def requested(schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any]) -> int:
    """The most a query can cost, before it runs."""
    total = 0
    for definition in document.definitions:
        if isinstance(definition, OperationDefinitionNode):
            mutation = definition.operation is OperationType.MUTATION
            root = schema.mutation_type if mutation else schema.query_type
            total += (MUTATION if mutation else 0) + _inside(schema, definition.selection_set, root, variables)
    return total


def _inside(
    schema: GraphQLSchema, selection: SelectionSetNode, parent: GraphQLNamedType | None, variables: Mapping[str, Any]
) -> int:
    total = 0
    for node in selection.selections:
        if isinstance(node, InlineFragmentNode):
            named = schema.get_type(node.type_condition.name.value) if node.type_condition else parent
            total += _inside(schema, node.selection_set, named, variables)
        elif (
            isinstance(node, FieldNode)
            and node.selection_set is not None
            and isinstance(parent, GraphQLObjectType | GraphQLInterfaceType)
            and node.name.value in parent.fields
        ):
            of = get_named_type(parent.fields[node.name.value].type)
            total += _field(schema, node, node.selection_set, of, variables)
    return total


def _field(
    schema: GraphQLSchema, node: FieldNode, inner: SelectionSetNode, of: GraphQLNamedType, variables: Mapping[str, Any]
) -> int:
    within = _inside(schema, inner, of, variables)
    if of.name.endswith("Connection"):
        return _first(node, variables) * (1 + within)
    return within + (0 if of.name == "PageInfo" or of.name.endswith("Edge") or node.name.value in _FREE else 1)


def _first(node: FieldNode, variables: Mapping[str, Any]) -> int:
    for argument in node.arguments:
        if argument.name.value == "first":
            if isinstance(argument.value, IntValueNode):
                return int(argument.value.value)
            if isinstance(argument.value, VariableNode):
                return int(variables.get(argument.value.name.value) or 0)
    return 0


def actual(data: Any) -> int:
    """What a result cost: its objects, connections and their page info free."""
    if isinstance(data, list):
        return sum(actual(one) for one in data)
    if not isinstance(data, Mapping):
        return 0
    own = 0 if {"nodes", "edges", "pageInfo", "hasNextPage", "node"} & data.keys() else 1
    return own + sum(actual(value) for value in data.values())
