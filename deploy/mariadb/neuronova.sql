-- Our own schema on OpenEMR's server: which row was written for which resource, and what it looked like then.
-- Ids of FHIR are case-sensitive.

CREATE TABLE IF NOT EXISTS cross_reference (
  resource_type varchar(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  resource_id varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  table_name varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
  part varchar(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'self, or visit: the encounter made for an order',
  row_key varchar(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'primary key, parts joined by :',
  uuid binary(16) DEFAULT NULL,
  version bigint(20) NOT NULL COMMENT 'version of the resource that was applied',
  columns text CHARACTER SET ascii NOT NULL COMMENT 'columns that follow the resource',
  digest char(64) CHARACTER SET ascii NOT NULL COMMENT 'SHA-256 of their values',
  applied_at datetime(3) NOT NULL COMMENT 'UTC',
  PRIMARY KEY (resource_type, resource_id, table_name, part),
  KEY by_row (table_name, row_key)
) ENGINE=InnoDB;
