# Installs libmultistack: headers, both libraries, a pkg-config file and a CMake package. The static library's package
# is a part of its own, as only it asks for what the library stands on.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR}/include/multistack DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS multistack EXPORT MultistackTargets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS multistack_static EXPORT MultistackStaticTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})

configure_file(${CMAKE_CURRENT_SOURCE_DIR}/multistack.pc.in multistack.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/multistack.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

set(package_directory ${CMAKE_INSTALL_LIBDIR}/cmake/Multistack)
configure_package_config_file(${CMAKE_CURRENT_SOURCE_DIR}/MultistackConfig.cmake.in MultistackConfig.cmake
                              INSTALL_DESTINATION ${package_directory})
write_basic_package_version_file(MultistackConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/MultistackConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/MultistackConfigVersion.cmake
        DESTINATION ${package_directory})
install(EXPORT MultistackTargets NAMESPACE Multistack:: DESTINATION ${package_directory})
install(EXPORT MultistackStaticTargets NAMESPACE Multistack:: DESTINATION ${package_directory})

# multistackd: the program, its manual, what systemd needs to run it as a user of its own, an example of a configuration.
install(TARGETS multistackd RUNTIME DESTINATION ${CMAKE_INSTALL_SBINDIR})
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/daemon/multistackd.8 DESTINATION ${CMAKE_INSTALL_MANDIR}/man8)
configure_file(${CMAKE_CURRENT_SOURCE_DIR}/daemon/multistackd.service.in multistackd.service @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/multistackd.service DESTINATION lib/systemd/system)
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/daemon/multistackd.sysusers DESTINATION lib/sysusers.d RENAME multistackd.conf)
install(FILES ${CMAKE_CURRENT_SOURCE_DIR}/daemon/multistackd.conf DESTINATION ${CMAKE_INSTALL_DOCDIR})
